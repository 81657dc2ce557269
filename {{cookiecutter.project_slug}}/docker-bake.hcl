# What is built: docker buildx bake --file docker-bake.hcl [production|candidate|test|scan]
variable "IMAGE" { default = "{{ cookiecutter.project_slug }}" }
variable "VERSION" { default = "dev" }

# Where the image comes from, for people and scanners that find it: the address of the repository, and the commit.
variable "SOURCE" { default = "" }
variable "REVISION" { default = "" }

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
  inherits  = ["_common"]
  target    = "production"
  platforms = compact(split(",", PLATFORMS))
  tags      = [image(VERSION), image("latest")]
  args      = { VERSION = VERSION }
  cache-to  = layers("")
  # They are in no layer. The time of the build is not among them: the same commit makes the same image.
  labels = {
    "org.opencontainers.image.title"    = "{{ cookiecutter.project_slug }}"
    "org.opencontainers.image.version"  = VERSION
    "org.opencontainers.image.source"   = SOURCE == "" ? null : SOURCE
    "org.opencontainers.image.revision" = REVISION == "" ? null : REVISION
  }
}

# The same for this machine, to be tried by tools/smoke.sh before it gets the tags of production.
target "candidate" {
  inherits  = ["production"]
  platforms = []
  tags      = ["{{ cookiecutter.project_slug }}:candidate"]
  output    = ["type=docker"]
}

# Succeeds when the tests do; leaves no image.
{%- if cookiecutter.database == "postgresql" or cookiecutter.background_jobs == "celery" %}
# Those that need a server are skipped: a build has none.
{%- endif %}
target "test" {
  inherits = ["_common"]
  target   = "test"
  output   = ["type=cacheonly"]
  cache-to = layers("-test")
}

# Succeeds when the image has no known vulnerability that is high or critical and mended; leaves no image. What is known
# changes from hour to hour, so no cache answers for it.
target "scan" {
  inherits        = ["_common"]
  target          = "scan"
  output          = ["type=cacheonly"]
  no-cache-filter = ["scan"]
}

target "_common" {
  cache-from = [for name in distinct(["main", CACHE, "main-test", "${CACHE}-test"]) : "type=registry,ref=${image("cache-${name}")}" if CACHE != ""]
  secret     = concat(PIP_CONF == "" ? [] : ["id=pip.conf,env=PIP_CONF"], UV_TOML == "" ? [] : ["id=uv.toml,env=UV_TOML"])
}

# Where layers are kept. A fork may not write. Only for main is that an error.
function "layers" {
  params = [kind]
  result = [for name in compact([CACHE]) : "type=registry,ref=${image("cache-${name}${kind}")},mode=min,ignore-error=${name != "main"}"]
}

# Image names are lower case; the names of repositories need not be.
function "image" {
  params = [tag]
  result = "${lower(IMAGE)}:${tag}"
}
