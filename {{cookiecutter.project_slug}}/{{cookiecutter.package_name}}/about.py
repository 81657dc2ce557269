"""What the service calls itself, on its pages and wherever else it is seen."""

SLUG = "{{ cookiecutter.project_slug }}"
{{ cookiecutter.project_name | assign_python("NAME") }}
{{ cookiecutter.description | assign_python("DESCRIPTION") }}

API_VERSION = "1"
"""Raised when clients have to change."""
