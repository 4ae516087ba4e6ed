# Needs make and a Python >= 3.11 with pip. Everything else goes into .venv-book (small) or .venv (everything).
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	$$p -c 'import sys, pip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
N ?=
BUILD = jupyter-book build . --toc book/_toc.yml -W -n --keep-going
OFFLINE = LMTUTOR_QUIET=1 HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 HF_EVALUATE_OFFLINE=1

.PHONY: help book epub pdf slides handout constraints check test turns lab notebooks bench clean
help:        ## this list
	@sed -n 's/^\([a-z]*\): .*## /  make \1	/p' $(MAKEFILE_LIST) | expand -t 20

book: .venv-book/ready    ## build the book, strictly (3 minutes the first time, then seconds; no torch needed)
	@PYTHONPATH=. .venv-book/bin/$(BUILD) -q && echo "The book is built: open $(CURDIR)/_build/html/index.html"

epub: .venv-book/ready    ## the book as an EPUB, _build/lmtutor.epub
	@PYTHONPATH=. .venv-book/bin/python tools/epub.py

pdf: book    ## the book's chapters as a PDF, _build/lmtutor.pdf (needs Chromium)
	@.venv-book/bin/python tools/pdf.py

slides: .venv-book/ready    ## slides of each part for a browser, offline, into _build/slides (N=2 for one)
	@.venv-book/bin/python tools/slides.py $(N)

handout: .venv/ready    ## notebooks and all that they need in one zip file that installs offline, into _build/handout (N=1 for one part)
	@.venv/bin/python tools/handout.py $(N)

constraints: .venv/ready    ## say which pins would move to newer versions (writes nothing; tools/constraints.py --write does)
	@.venv/bin/python tools/constraints.py || true

# With an empty cache and no index: what needs the real model and is not marked so fails here.
check: .venv/ready    ## check what can be checked in a few minutes: package, stored notebooks, book; fetches nothing
	$(OFFLINE) OMP_NUM_THREADS=1 LMTUTOR_THREADS=1 LMTUTOR_CACHE=$(CURDIR)/_build/no-cache PIP_NO_INDEX=1 .venv/bin/python -m pytest tests -m "not long"

test: .venv/ready    ## check everything: package, notebooks re-run and compared, book, pages (about 30 minutes)
	.venv/bin/lmtutor fetch
	$(OFFLINE) .venv/bin/python -m pytest tests --durations=20 --durations-min=2
	$(OFFLINE) .venv/bin/python notebooks/compare.py

turns: .venv/ready    ## all of which `make test` takes a piece a day: each notebook alone, each Python, pins, the whole EPUB (an hour)
	.venv/bin/lmtutor fetch
	LMTUTOR_ALL=1 $(OFFLINE) .venv/bin/python -m pytest -m long tests/test_lone.py tests/test_constraints.py tests/test_colab.py tests/test_epub.py tests/test_slides.py

lab: .venv/ready    ## open the notebooks in JupyterLab, which trusts them
	@.venv/bin/jupyter trust notebooks/*.ipynb notebooks/deeper/*.ipynb notebooks/solutions/*.ipynb >/dev/null
	.venv/bin/jupyter lab --notebook-dir=notebooks

notebooks: .venv/ready    ## run the notebooks again and store what they print (N=07 for one)
	.venv/bin/lmtutor fetch
	.venv/bin/python notebooks/run.py $(N)

bench: .venv/ready    ## measure speed (benchmarks/)
	for file in $(filter-out benchmarks/race.py,$(wildcard benchmarks/*.py)); do .venv/bin/python $$file || exit 1; done

clean:       ## remove what was built; the environments and the cache of downloads stay
	rm -rf _build build dist *.egg-info .pytest_cache

# The first pip works on the new environment from outside, so a Python without ensurepip will do; then pip's own pinned version.
define environment
	@test -n "$(PYTHON)" || { echo "lmtutor needs Python 3.11 or newer with pip: install it, or say make PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv --clear --without-pip $(@D)
	$(PYTHON) -m pip --python $(@D)/bin/python install -q -c constraints.txt pip
	$(@D)/bin/python -m pip install -q -c constraints.txt
endef

.venv-book/ready: pyproject.toml constraints.txt
	$(environment) $$($(PYTHON) -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['book'])")
	@touch $@

.venv/ready: pyproject.toml constraints.txt
	$(environment) -e '.[book,test]'
	@touch $@
