#!/usr/bin/env bash
# The set-up of scripts/bench store: RocksDB, for this benchmark alone, and the program.
#
# Debian's package (--rocksdb system), 7.8.3-2, is built without NDEBUG and without CRC32C in hardware: 1.1 to
# 1.6 times slower than RocksDB is. --rocksdb release builds the same version from Debian's source package, as
# its authors build it, once. The default is the release build when there is one, else the package; the
# report's head says which, and its end warns when figures flatter us.
. "$(dirname "$0")/../common.sh"
prefix=$CACHE/rocksdb-release
which=system
[ -e "$prefix/.complete" ] && which=release
arguments=()
while [ $# -gt 0 ]; do
  if [ "$1" = --rocksdb ]; then
    [ $# -gt 1 ] || die "--rocksdb needs a value: release or system"
    which=$2
    shift 2
  else
    arguments+=("$1")
    shift
  fi
done
case $which in release | system) ;; *) die "--rocksdb '$which': release or system is needed" ;; esac

system_package() {
  compgen -G '/usr/include/rocksdb/db.h' >/dev/null && return
  command -v apt-get >/dev/null ||
    die "RocksDB is missing and there is no apt-get: install RocksDB's headers and library, the benchmark compares with it"
  [ "$(id -u)" = 0 ] || die "librocksdb-dev is missing, the benchmark compares with it (run: sudo apt-get install librocksdb-dev)"
  say 'Installing librocksdb-dev, for this benchmark alone'
  (apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends librocksdb-dev) \
    >"$CACHE/apt.log" 2>&1 || die "apt-get failed; see $CACHE/apt.log"
}

# Into $prefix: include/ and lib/librocksdb.a.
release_build() {
  local work=$CACHE/rocksdb-build log=$CACHE/rocksdb-build.log
  [ -e "$prefix/.complete" ] && return
  command -v apt-get >/dev/null || die "building RocksDB needs Debian's source package, and there is no apt-get"
  rm -rf "$prefix" "$work"
  mkdir -p "$work/lists/partial"
  say "Building RocksDB without assertions, once, into $prefix (a quarter of an hour on two idle cores)"
  # The sources of the repositories that this machine uses already; its own configuration stays as it is.
  apt-get indextargets --format 'deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' | sort -u >"$work/sources.list"
  (
    cd "$work" || exit
    apt=(apt-get -q -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$work/lists")
    "${apt[@]}" update && "${apt[@]}" source --download-only rocksdb
  ) >"$log" 2>&1 || die "RocksDB's source package could not be fetched; see $log"
  (
    cd "$work" && mkdir source && tar xf rocksdb_*.orig.tar.* -C source --strip-components=1 &&
      cmake -G Ninja -S source -B build -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib \
        -DROCKSDB_BUILD_SHARED=OFF -DWITH_TESTS=OFF -DWITH_TOOLS=OFF -DWITH_CORE_TOOLS=OFF -DWITH_BENCHMARK_TOOLS=OFF \
        -DWITH_GFLAGS=OFF -DWITH_LIBURING=OFF -DFAIL_ON_WARNINGS=OFF -DUSE_RTTI=ON &&
      nice cmake --build build -j "$JOBS" --target rocksdb &&
      mkdir -p "$prefix/lib" && cp -r source/include "$prefix/" && cp build/librocksdb.a "$prefix/lib/"
  ) >>"$log" 2>&1 || { tail -n 20 "$log" >&2; die "RocksDB could not be built; see $log"; }
  touch "$prefix/.complete"
  rm -rf "$work"
}

if [ $which = system ]; then
  system_package
  rocksdb=
else
  release_build
  rocksdb=$prefix
fi
scripts/setup --tests
configured=$(sed -n 's/^MARBLE_TESTS:BOOL=//p' build/CMakeCache.txt 2>/dev/null || true)
[ "$configured" = ON ] || scripts/build --tests
say 'Building the benchmark'
{ cmake -S . -B build "-DMARBLE_BENCH_ROCKSDB=$rocksdb" && cmake --build build -j "$JOBS" --target store_bench; } >build.log 2>&1 ||
  { tail -n 40 build.log >&2; die "the build failed; the whole output is in build.log"; }
revision=$(git describe --always --dirty 2>/dev/null || true)
exec build/native/lsm/bench/store_bench --revision "${revision:-unknown}" "${arguments[@]}"
