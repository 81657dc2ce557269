# What is built: docker buildx bake --file docker-bake.hcl [production|test]
variable "IMAGE" { default = "{{ cookiecutter.project_slug }}" }
variable "VERSION" { default = "dev" }

group "default" { targets = ["production"] }

target "production" {
  target = "production"
  tags   = ["${IMAGE}:${VERSION}", "${IMAGE}:latest"]
  args   = { VERSION = VERSION }
}

# Succeeds when the tests do; leaves no image.
target "test" {
  target = "test"
  output = ["type=cacheonly"]
}
