#!/usr/bin/env bash
# fetch-simdjson.sh PYTHON VERSION SHA256: simdjson.{h,cpp} out of pysimdjson's source
# distribution into the working directory.
set -euo pipefail
python=$1 version=$2 sha256=$3
# pip would build metadata to "download" an sdist, which needs its build tools: that is
# accepted here, the tarball is checked before anything of it is used by us.
"$python" -m pip download --disable-pip-version-check -q --no-deps --no-binary=:all: -d . "pysimdjson==$version"
tarball=$(echo pysimdjson-*.tar.gz)
echo "$sha256  $tarball" | sha256sum -c -
tar xzf "$tarball" --strip-components=2 "pysimdjson-$version/simdjson/simdjson.h" "pysimdjson-$version/simdjson/simdjson.cpp"
tar xzf "$tarball" --strip-components=1 "pysimdjson-$version/LICENSE"
rm "$tarball"
