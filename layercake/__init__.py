"""The template's own code: what cookiecutter runs while it asks and renders, and the command `layercake`.

| module | job |
|---|---|
| `extension` | what cookiecutter imports by name; hands over to the template that is being rendered |
| `rendering` | what is code and what is text, and the filters |
| `answers` | the rules for answers |
| `files` | which files an option brings |
| `options` | what an option is about: its words, its servers |
| `quoting` | free text in files, intact |
| `locks` | reads and cuts the shipped locks |
| `openapi` | cuts the description of a project's API out of that with every option |
| `record` | where a project came from |
| `__main__` | the command `layercake` |
| `cache_check` | its `cache-check`: proves that a build reinstalls only what changed |
| `builds` | builds images for it, and reads what each build did |
| `update` | its `update`: takes over what the template has learnt |
| `link` | its `link`: finds release and answers of a service that has no record |
| `releases` | the releases of the template: what they ask, render and tell |
| `merging` | brings the difference of two renderings into a project |
| `fleet` | its `fleet`: what an update would do to many services |
| `adopt` | its `adopt`: brings image, locks and guard to a repository that was not made from the template |
| `loading` | imports modules as they are in a folder now |
"""

__version__ = "1.0.0"  # of the last release; `python -m scripts.release` writes it
