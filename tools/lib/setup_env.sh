# Shared part of tools/quickstart.sh and tools/test.sh: finds a Python, makes an environment, installs the package
# with its tested pins. Sourced after `set -euo pipefail`.
#
# Callers set STACK (tf216, tf221 or empty) and PYTHON (a path or empty) and call `set_up_environment EXTRA` (EXTRA is
# empty or `test`), which leaves the folder of the environment in ENVIRONMENT.

REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NEW_ENVIRONMENT_GB=4
UPDATE_GB=1

fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    if [ $# -gt 0 ]; then printf '  %s\n' "$@" >&2; fi
    exit 1
}

check_stack() {
    case $1 in
        tf216 | tf221) ;;
        *) fail "there is no stack '$1': --stack takes tf216 (the reference) or tf221 (the newest)." ;;
    esac
}

# Prints the Pythons of a stack, the preferred one first.
versions_of() {
    case $1 in
        tf216) echo 3.11 3.10 ;;
        tf221) echo 3.12 3.11 3.10 3.13 ;;
    esac
}

fits() { # fits STACK VERSION
    case " $(versions_of "$1") " in *" $2 "*) ;; *) return 1 ;; esac
}

# What a Python is, and with what it can make an environment; nothing if it does not run (pyenv leaves commands on
# PATH for versions that are not enabled).
PROBE='
import importlib.util, platform, sys, sysconfig
has = lambda name: importlib.util.find_spec(name) is not None
kind = "free-threaded" if sysconfig.get_config_var("Py_GIL_DISABLED") else platform.python_implementation()
bits = 64 if sys.maxsize > 2**32 else 32
maker = "none" if not has("venv") else "ensurepip" if has("ensurepip") else "pip" if has("pip") else "none"
print("%d.%d" % sys.version_info[:2], kind, bits, maker)
'

probe() { # probe PYTHON; sets VERSION, KIND, BITS, MAKER
    local answer
    answer=$("$1" -I -c "$PROBE" 2>/dev/null </dev/null) || return 1
    read -r VERSION KIND BITS MAKER <<<"$answer"
    [ -n "${MAKER:-}" ] || return 1
    if [ "$MAKER" = none ] && type -P virtualenv >/dev/null; then MAKER=virtualenv; fi
}

describe() { # after a probe
    if [ "$KIND" != CPython ]; then echo "$KIND $VERSION"; elif [ "$BITS" != 64 ]; then echo "$BITS-bit Python $VERSION"
    else echo "Python $VERSION"; fi
}

# find_python STACK: sets PYTHON and leaves its probe in VERSION and MAKER. Notes what it saw on the way in FOUND (all
# candidates) and WITHOUT_VENV (the first that fits but cannot make an environment).
find_python() {
    local stack=$1 version path
    FOUND=() WITHOUT_VENV=
    for version in $(versions_of "$stack") 3 ''; do
        while IFS= read -r path; do
            if ! probe "$path"; then
                FOUND+=("$path (does not run)")
            elif ! fits "$stack" "$VERSION" || [ "$KIND" != CPython ] || [ "$BITS" != 64 ]; then
                FOUND+=("$path ($(describe))")
            elif [ "$MAKER" = none ]; then
                FOUND+=("$path (Python $VERSION without venv)")
                WITHOUT_VENV=${WITHOUT_VENV:-$path $VERSION}
            else
                PYTHON=$path
                return 0
            fi
        done < <(type -aP "python$version" || true)
    done
    return 1
}

explain_no_python() { # after find_python STACK failed
    local stack=$1 versions name=3
    versions=$(versions_of "$stack" | tr ' ' '\n' | sort -V | tr '\n' ' ')
    if [ -n "$WITHOUT_VENV" ]; then explain_no_venv $WITHOUT_VENV; fi
    if [ "$stack" = tf216 ]; then name=3.11; fi
    fail "no supported Python found: the stack $stack needs 64-bit CPython ${versions% }." \
        "Looked on PATH for:$(printf ' python%s' $(versions_of "$stack") 3), python" \
        "Found: $(if [ ${#FOUND[@]} -gt 0 ]; then printf '%s; ' "${FOUND[@]}"; else echo nothing; fi)" \
        "On Debian or Ubuntu: sudo apt install python$name python$name-venv" \
        "(Debian 12 and Ubuntu 22.04 carry Python 3.11 and 3.10; Ubuntu 24.04 and Debian 13 carry 3.12 and 3.13.)" \
        "A Python that is not on PATH can be named: --python /path/to/python"
}

explain_no_venv() { # explain_no_venv PYTHON VERSION
    fail "$1 is Python $2, but it cannot make an environment: it lacks venv with ensurepip or pip." \
        "On Debian or Ubuntu: sudo apt install python$2-venv"
}

# Decides STACK, and PYTHON where the environment has yet to be made. `.venv` is for the stack that this machine takes
# by default; the other stack lives beside it.
choose() {
    local default=
    if [ -f "$REPOSITORY/.venv/mmrec-stack" ]; then default=$(<"$REPOSITORY/.venv/mmrec-stack"); fi
    if [ -n "$PYTHON" ]; then
        probe "$PYTHON" || fail "$PYTHON is not a Python that runs."
        if [ -z "$STACK" ]; then
            if fits tf216 "$VERSION"; then STACK=tf216; else STACK=tf221; fi
        fi
        if ! fits "$STACK" "$VERSION" || [ "$KIND" != CPython ] || [ "$BITS" != 64 ]; then
            fail "$PYTHON is $(describe), which the stack $STACK does not support." \
                "tf216 takes Python 3.10 and 3.11, tf221 takes 3.10 to 3.13 (64-bit CPython)."
        fi
    fi
    if [ -z "$default" ]; then
        if (find_python tf216); then default=tf216; elif [ -n "$PYTHON" ]; then default=$STACK; else default=tf221; fi
    fi
    STACK=${STACK:-$default}
    ENVIRONMENT=$REPOSITORY/.venv
    if [ "$STACK" != "$default" ]; then ENVIRONMENT+=-$STACK; fi
}

check_disk() { # check_disk GB
    local free
    { read -r _ && read -r _ _ _ free _; } < <(df -Pk "$REPOSITORY") || return 0
    if [ "$free" -lt $(($1 * 1024 * 1024)) ]; then
        fail "too little disk space: $((free / 1024)) MB are free in $REPOSITORY, and the installation needs about $1 GB."
    fi
}

make_environment() {
    local pip_home
    echo "Making $ENVIRONMENT with $PYTHON (Python $VERSION), stack $STACK"
    case $MAKER in
        ensurepip) "$PYTHON" -m venv --clear "$ENVIRONMENT" ;;
        virtualenv) virtualenv --quiet --clear -p "$PYTHON" "$ENVIRONMENT" ;;
        pip)
            # Debian without python3-venv: venv works but has no pip to put in, so the system's pip installs one there.
            "$PYTHON" -m venv --clear --without-pip "$ENVIRONMENT" &&
                pip_home=$("$PYTHON" -c 'import pathlib, pip; print(pathlib.Path(pip.__file__).parents[1])') &&
                PYTHONPATH=$pip_home PIP_DISABLE_PIP_VERSION_CHECK=1 "$ENVIRONMENT/bin/python" -m pip install \
                    --quiet --no-input --ignore-installed -c "$CONSTRAINTS" pip
            ;;
    esac || fail "$PYTHON could not make the environment $ENVIRONMENT (its own message is above)." \
        "On Debian or Ubuntu this may help: sudo apt install python$VERSION-venv"
    echo "$STACK" >"$ENVIRONMENT/mmrec-stack"
}

works() { "$ENVIRONMENT/bin/python" -c 'import pip' 2>/dev/null; }

pip_install() {
    local verbosity="-qq"
    if [ -t 1 ]; then verbosity=--progress-bar=on; fi
    # --compile whatever the machine's settings say: importing TensorFlow takes 14 s without bytecode, 3 s with it.
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0 "$ENVIRONMENT/bin/python" -m pip install --no-input --compile $verbosity \
        -c "$CONSTRAINTS" "$@" || fail "pip could not install the packages (its own message is above)." \
        "Most often the network or a proxy is the cause. Run the same command again: what was downloaded is kept." \
        "If it says 'No space left on device', TMPDIR=/a/larger/folder moves its temporary files."
}

# The path is part of it: an environment that was moved has scripts that point to the old place.
fingerprint() { # fingerprint EXTRA
    { cat "$REPOSITORY/setup.cfg" "$REPOSITORY/setup.py" "$CONSTRAINTS" && echo "$ENVIRONMENT $1"; } | cksum
}

set_up_environment() { # set_up_environment EXTRA
    local extra=$1 stamp needed=$UPDATE_GB asked_version=
    if [ -n "$STACK" ]; then check_stack "$STACK"; fi
    choose
    if [ -n "$PYTHON" ]; then asked_version=$VERSION; fi
    CONSTRAINTS=$REPOSITORY/tools/constraints/$STACK.txt
    stamp=$ENVIRONMENT/mmrec-installed-${extra:-base}

    if works; then
        probe "$ENVIRONMENT/bin/python"
        if ! fits "$STACK" "$VERSION" || [ "${asked_version:-$VERSION}" != "$VERSION" ]; then
            fail "$ENVIRONMENT holds Python $VERSION, not ${asked_version:-one that the stack $STACK supports}." \
                "Remove it and run this again: rm -rf $ENVIRONMENT"
        fi
        if [ -f "$stamp" ] && [ "$(<"$stamp")" = "$(fingerprint "$extra")" ]; then return; fi
    else
        needed=$NEW_ENVIRONMENT_GB
        if [ -z "$PYTHON" ]; then
            find_python "$STACK" || explain_no_python "$STACK"
        elif [ "$MAKER" = none ]; then
            explain_no_venv "$PYTHON" "$VERSION"
        fi
    fi

    check_disk "$needed"
    if [ "$needed" = "$NEW_ENVIRONMENT_GB" ]; then make_environment; fi
    echo "Installing mmrec-tf${extra:+[$extra]} into $ENVIRONMENT (a new environment is about 3 GB; some minutes)"
    # No stamp while the installation is under way, so that one that was interrupted is done again.
    rm -f "$ENVIRONMENT"/mmrec-installed-*
    pip_install --upgrade pip setuptools
    pip_install --no-build-isolation --editable "$REPOSITORY${extra:+[$extra]}"
    fingerprint "$extra" >"$stamp"
    # The test extra only adds packages, so the plain installation is complete too.
    if [ -n "$extra" ]; then fingerprint "" >"$ENVIRONMENT/mmrec-installed-base"; fi
}
