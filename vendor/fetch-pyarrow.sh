#!/usr/bin/env bash
# fetch-pyarrow.sh PYTHON VERSION PLATFORM SHA256: unpack Arrow's headers and libraries
# out of the pyarrow wheel into the working directory. Needs no matching Python.
set -euo pipefail
python=$1 version=$2 platform=$3 sha256=$4
"$python" -m pip download --disable-pip-version-check -q --no-deps --only-binary=:all: \
  --platform "$platform" --python-version 3.12 --implementation cp --abi cp312 -d . "pyarrow==$version"
wheel=$(echo pyarrow-*.whl)
echo "$sha256  $wheel" | sha256sum -c -
"$python" - "$wheel" <<'PY'
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as wheel:
    for name in wheel.namelist():
        if name.startswith(("pyarrow/include/", "pyarrow/libarrow", "pyarrow/libparquet")) or "LICENSE" in name or "NOTICE" in name:
            wheel.extract(name)
PY
rm "$wheel"
