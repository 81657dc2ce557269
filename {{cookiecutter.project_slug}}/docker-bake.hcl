# What is built: docker buildx bake --file docker-bake.hcl [production|test]
variable "IMAGE" { default = "{{ cookiecutter.project_slug }}" }
variable "VERSION" { default = "dev" }

# Whose build it is, main or the name of another, for builders that start empty: the layers of main and its own are
# read from the registry, its own are written. Without a name no registry is asked.
variable "CACHE" { default = "" }

# For other processors, with a builder that can do that: PLATFORMS=linux/amd64,linux/arm64
variable "PLATFORMS" { default = "" }

# For a private package index: the text of a pip.conf and a uv.toml. They are used and not kept.
variable "PIP_CONF" { default = "" }
variable "UV_TOML" { default = "" }

group "default" { targets = ["production"] }

target "production" {
  inherits   = ["_index"]
  target     = "production"
  platforms  = compact(split(",", PLATFORMS))
  tags       = [image(VERSION), image("latest")]
  args       = { VERSION = VERSION }
  cache-from = [for name in distinct(["main", CACHE]) : "type=registry,ref=${image("cache-${name}")}" if CACHE != ""]
  # A fork may not write. Only for main is that an error.
  cache-to = [for name in compact([CACHE]) : "type=registry,ref=${image("cache-${name}")},mode=min,ignore-error=${name != "main"}"]
}

# Succeeds when the tests do; leaves no image.
{%- if cookiecutter.database == "postgresql" or cookiecutter.background_jobs == "celery" %}
# Those that need a server are skipped: a build has none.
{%- endif %}
target "test" {
  inherits = ["_index"]
  target   = "test"
  output   = ["type=cacheonly"]
}

target "_index" {
  secret = concat(PIP_CONF == "" ? [] : ["id=pip.conf,env=PIP_CONF"], UV_TOML == "" ? [] : ["id=uv.toml,env=UV_TOML"])
}

# Image names are lower case; the names of repositories need not be.
function "image" {
  params = [tag]
  result = "${lower(IMAGE)}:${tag}"
}
