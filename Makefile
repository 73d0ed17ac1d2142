# make report: the demo, from nothing to reports/demo/report.html      make test: the checks      make lab: JupyterLab
# make bench: the measurements behind the README's numbers             make clean: forget .venv and caches, keep reports/
# make sample: the sample run that is committed, and the picture of it (needs Debian's chromium)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PARAMS ?= params/demo.yaml

# mmcv-full is built from source and needs an older setuptools: old pip reads the first variable, new pip the second,
# and without the third an old pip with wheel installed would compile its unused C++ operators.
PIP_ENV := PIP_CONSTRAINT=build-constraints.txt PIP_BUILD_CONSTRAINT=build-constraints.txt PIP_USE_PEP517=1

.PHONY: report test lab bench sample clean

report: $(VENV)/.ready
	$(BIN)/python -m helpers.run $(PARAMS)

test: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb
	$(BIN)/python -m pytest -n auto --dist loadfile

lab: $(VENV)/.ready
	$(BIN)/jupyter lab notebooks/0_overview.ipynb

bench: $(VENV)/.ready
	status=0; for name in harness verdicts referees backends data_path manifest demo_run index_of_runs shards gpu; do $(BIN)/python benchmarks/$$name.py || status=1; done; exit $$status

sample: $(VENV)/.ready
	rm -rf reports/sample
	$(BIN)/python -m helpers.run params/demo.yaml -p run sample
	rm -rf reports/sample/artefacts reports/sample/*.ipynb
	chromium --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --hide-scrollbars \
		--user-data-dir=$$(mktemp -d) --window-size=1000,1130 --screenshot=reports/sample/report.png file://$(CURDIR)/reports/sample/report.html

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.ready: requirements.lock pyproject.toml build-constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null || { \
		echo "Python 3.11 or 3.12 is needed and $(PYTHON) is `$(PYTHON) --version 2>&1`: install one of them and say make PYTHON=python3.11."; exit 2; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(PIP_ENV) $(BIN)/python -m pip install --disable-pip-version-check -q -r requirements.lock -e '.[convert,openvino,int8,referee,ray,dev]'
	touch $@
