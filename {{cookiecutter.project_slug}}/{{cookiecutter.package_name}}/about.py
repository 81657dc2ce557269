"""What the service calls itself, on its pages and wherever else people see it."""

NAME = {{ cookiecutter.project_name | quote_python }}
DESCRIPTION = {{ cookiecutter.description | quote_python }}

API_VERSION = "1"
"""Raised when clients have to change."""
