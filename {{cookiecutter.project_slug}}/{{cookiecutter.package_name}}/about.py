"""What the service calls itself, on its pages and wherever else it is seen."""

SLUG = "{{ cookiecutter.project_slug }}"
NAME = {{ cookiecutter.project_name | quote_python }}
DESCRIPTION = {{ cookiecutter.description | quote_python }}

API_VERSION = "1"
"""Raised when clients have to change."""
