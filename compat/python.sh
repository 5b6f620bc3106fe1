# python.sh: what the folders of Python clients share: a virtual environment with what requirements.txt pins.

python_fetch() {
    python3 -m venv "$CACHE/venv" && "$CACHE/venv/bin/pip" install -q --only-binary :all: -r "$CLIENT_DIR/requirements.txt"
}

python_run() { # script
    PYTHONPATH="$CLIENT_DIR/.." PYTHONDONTWRITEBYTECODE=1 "$CACHE/venv/bin/python" "$@"
}
