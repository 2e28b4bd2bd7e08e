#!/usr/bin/env bash
# build-librdkafka.sh NODE_RDKAFKA_VERSION SHA256 LIBSSL_A LIBCRYPTO_A: build librdkafka from
# the source in node-rdkafka's tarball and install it into the working directory.
# SCRAM and OAUTHBEARER are named one by one because WITH_SASL would pull in Cyrus.
set -euo pipefail
version=$1 sha256=$2 libssl=$3 libcrypto=$4
prefix=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent --ignore-scripts "node-rdkafka@$version" >/dev/null
echo "$sha256  node-rdkafka-$version.tgz" | sha256sum -c -
tar xzf "node-rdkafka-$version.tgz" package/deps/librdkafka
# librdkafka tests WITH_OAUTHBEARER_OIDC by #ifdef although it is defined as 0 or 1: an
# empty header satisfies the include that this lets through.
mkdir -p stub/curl && : > stub/curl/curl.h
generator=()
command -v ninja >/dev/null && generator=(-G Ninja)
cmake "${generator[@]}" -S package/deps/librdkafka -B build -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_C_FLAGS="-I$work/stub -fvisibility=hidden" -DRDKAFKA_BUILD_STATIC=ON \
  -DRDKAFKA_BUILD_EXAMPLES=OFF -DRDKAFKA_BUILD_TESTS=OFF -DWITH_SSL=ON -DWITH_SASL=OFF \
  -DWITH_SASL_SCRAM=ON -DWITH_SASL_OAUTHBEARER=ON -DWITH_ZSTD=ON -DWITH_ZLIB=ON -DWITH_CURL=OFF \
  -DENABLE_LZ4_EXT=OFF -DOPENSSL_USE_STATIC_LIBS=ON -DOPENSSL_SSL_LIBRARY="$libssl" -DOPENSSL_CRYPTO_LIBRARY="$libcrypto" \
  -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib
cmake --build build --target rdkafka -j "$(nproc)"
mkdir -p "$prefix/lib" "$prefix/include/librdkafka"
cp "$(find build -name librdkafka.a | head -1)" "$prefix/lib/"
cp package/deps/librdkafka/src/rdkafka.h package/deps/librdkafka/src/rdkafka_mock.h "$prefix/include/librdkafka/"
cp package/deps/librdkafka/LICENSES.txt "$prefix/"
