#!/usr/bin/env bash
# Sets up the same environment as tools/quickstart.sh with the test extra, and runs the test suite.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib/setup_env.sh"

usage="usage: bash tools/test.sh [--stack tf216|tf221] [--python PATH] [--quick | --all] [ARGUMENTS OF pytest]

  --stack    tf216: TensorFlow 2.16.2, Python 3.10 or 3.11 (taken where such a Python is found)
             tf221: TensorFlow 2.21, Python 3.10 to 3.13
  --python   the Python to use, instead of the first that fits on PATH
  --quick    only the tests marked quick_stack
  --all      the tests marked thorough too: long cases of what another test also tries in a shorter one"

STACK= PYTHON=
marked="not thorough"
arguments=()
while [ $# -gt 0 ]; do
    case $1 in
        --stack | --python)
            if [ $# -lt 2 ]; then fail "$1 needs a value."; fi
            if [ "$1" = --stack ]; then STACK=$2; else PYTHON=$2; fi
            shift 2
            ;;
        --quick) marked=quick_stack && shift ;;
        --all) marked= && shift ;;
        -h | --help) echo "$usage" && exit 0 ;;
        --) shift && break ;;
        *) arguments+=("$1") && shift ;;
    esac
done

set_up_environment test
cd "$REPOSITORY"
export TF_CPP_MIN_LOG_LEVEL=3 TF_USE_LEGACY_KERAS=1
# A file's tests stay in one process, because they share what it takes long to make.
exec "$ENVIRONMENT/bin/python" -m pytest -n auto --dist loadfile -m "$marked" ${arguments[@]+"${arguments[@]}"} "$@"
