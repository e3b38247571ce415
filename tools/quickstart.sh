#!/usr/bin/env bash
# From a fresh checkout to recommendations: makes .venv, installs the package with its tested pins, runs `mmrec demo`.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup_env.sh"

usage="usage: bash tools/quickstart.sh [--stack tf216|tf221] [--python PATH] [-- ARGUMENTS OF mmrec demo]

  --stack    tf216: TensorFlow 2.16.2, Python 3.10 or 3.11 (taken where such a Python is found)
             tf221: TensorFlow 2.21, Python 3.10 to 3.13
  --python   the Python to use, instead of the first that fits on PATH"

STACK= PYTHON=
while [ $# -gt 0 ]; do
    case $1 in
        --stack | --python)
            if [ $# -lt 2 ]; then fail "$1 needs a value."; fi
            if [ "$1" = --stack ]; then STACK=$2; else PYTHON=$2; fi
            shift 2
            ;;
        -h | --help) echo "$usage" && exit 0 ;;
        --) shift && break ;;
        *) fail "unknown argument '$1'; arguments of the demo come after a --." "$usage" ;;
    esac
done

set_up_environment ""
exec "$ENVIRONMENT/bin/mmrec" demo "$@"
