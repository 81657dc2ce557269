{% include "managers/" ~ cookiecutter.dependency_manager ~ ".py" -%}
