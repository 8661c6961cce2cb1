#!/usr/bin/env bash
# TimescaleDB for tests and trials on a Debian machine of another release, without containers.
#
# `install` puts a small tree of Debian trixie (PostgreSQL 17, TimescaleDB 2.19 under its Apache licence) into a cache
# folder; `start` runs the server from there. The server sees the tree as its root, in a mount namespace of its own:
# the host's libc, packages and mounts are not touched, and nothing is left mounted when it ends.
set -euo pipefail

readonly SUITE=trixie
readonly MAJOR=17
readonly PACKAGES="postgresql-$MAJOR,postgresql-$MAJOR-timescaledb"
readonly BIN="/usr/lib/postgresql/$MAJOR/bin"
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
readonly READY_WITHIN_S=60
readonly STOPPED_WITHIN_S=60

usage() {
    cat <<'HELP'
usage: timescaledb.sh COMMAND [OPTION...]

  install                  make the tree, if it is not there yet (about 1 minute, 420 MB)
  start                    start a server and wait until it answers; prints its address
  run                      the same in the foreground; the server ends with whoever called
  stop                     end the server of --data
  url                      the address of the server of --data
  version                  what the tree holds

  --data DIR               where the server keeps its data
                           (default /var/lib/stackwatch-timescaledb, or under $XDG_DATA_HOME)
  --port N                 loopback port (default 5432, or the one it had)
  --set NAME=VALUE         a setting of PostgreSQL; may be repeated
  --tree DIR               the tree (default /var/cache/stackwatch/trixie, or under $XDG_CACHE_HOME)
  --mirror URL             a Debian archive (default: the one in this machine's apt sources)

Exit codes: 0 done, 1 failed, 2 misused.
HELP
}

fail() {
    printf 'timescaledb.sh: %s\n' "$*" >&2
    exit 1
}

misused() {
    printf 'timescaledb.sh: %s (--help says what there is)\n' "$*" >&2
    exit 2
}

say() {
    printf '%s\n' "$*" >&2
}

# --- Installing.

# The archive that this machine itself installs Debian from. apt reads its sources, whichever form they have, and what
# the archive says of itself (Origin, Label) tells Debian's own from all others.
mirror_of_host() {
    local found
    found=$(mirror_in_lists)
    if [ -z "$found" ]; then
        say "apt knows no package lists yet: apt-get update"
        apt-get update -qq >&2 || fail "apt-get update failed; give the archive with --mirror URL"
        found=$(mirror_in_lists)
    fi
    [ -n "$found" ] || fail "no Debian archive in this machine's apt sources; give one with --mirror URL"
    case $found in
        mirror+file:*) found=$(first_of_list "${found#mirror+file:}") ;;
    esac
    printf '%s\n' "$found"
}

mirror_in_lists() {
    # shellcheck disable=SC2016  # apt fills these in
    apt-get indextargets --format '$(REPO_URI) $(CODENAME)' \
        'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 'Component: main' 2>/dev/null |
        awk '$2 !~ /-/ && $1 !~ /^(cdrom|file|copy):/ { print $1; exit }'
}

# A cloud image's sources may name a file that lists mirrors, the best first.
first_of_list() {
    awk '/^[a-z]+:/ { print $1; exit }' "${1%/}"
}

need_root() {
    [ "$(id -u)" = 0 ] || fail "'$1' must be run by root: it makes and enters a tree with another system in it"
    unshare --mount --propagation private true 2>/dev/null ||
        fail "this root may not make mount namespaces (a container without CAP_SYS_ADMIN?)"
}

ensure_debootstrap() {
    command -v debootstrap >/dev/null && [ -r "$KEYRING" ] && return
    command -v apt-get >/dev/null || fail "debootstrap is missing, and there is no apt-get to install it with"
    say "installing debootstrap"
    { apt-get update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            debootstrap debian-archive-keyring; } >/dev/null || fail "debootstrap cannot be installed"
}

complete() {
    [ "$(cat "$tree/.complete" 2>/dev/null)" = "$SUITE $PACKAGES" ]
}

# Made beside its place and then renamed, under a lock: nobody ever sees half a tree.
install_tree() {
    complete && return
    need_root install
    mkdir -p "$(dirname "$tree")"
    exec 9>"$tree.lock"
    flock 9
    complete && return
    ensure_debootstrap
    local archive=${mirror:-}
    [ -n "$archive" ] || archive=$(mirror_of_host)
    rm -rf --one-file-system "$tree.partial"
    take_proxy
    say "making a tree of Debian $SUITE from $archive in $tree"
    # In a namespace of its own, so that what debootstrap mounts is gone when it ends.
    # 9>&-: a daemon that a package starts would else keep the lock.
    if ! unshare --mount --propagation private debootstrap --force-check-gpg --keyring="$KEYRING" \
        --variant=minbase --include="$PACKAGES" "$SUITE" "$tree.partial" "$archive" \
        >"$tree.log" 2>&1 9>&-; then
        tail -n 5 "$tree.log" >&2
        [ ! -r "$tree.partial/debootstrap/debootstrap.log" ] || tail -n 5 "$tree.partial/debootstrap/debootstrap.log" >&2
        rm -rf --one-file-system "$tree.partial"
        fail "debootstrap failed; everything it said is in $tree.log"
    fi
    # The packages were for the machine they make; the server needs neither them nor a cluster that nobody starts.
    rm -rf "$tree.partial/var/cache/apt/archives" "$tree.partial/var/lib/apt/lists" \
        "$tree.partial/var/lib/postgresql/$MAJOR" "$tree.partial/etc/postgresql/$MAJOR" \
        "$tree.partial"/usr/share/{doc,man,locale}
    printf '%s\n' "$SUITE $PACKAGES" >"$tree.partial/.complete"
    rm -rf --one-file-system "$tree"
    mv "$tree.partial" "$tree"
    exec 9>&-
    say "$(version_of_tree)"
}

# debootstrap fetches with wget, which knows nothing of apt's proxy.
take_proxy() {
    local proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy 2>/dev/null || true)"
    if [ -n "$proxy" ] && [ -z "${http_proxy:-}" ]; then
        export http_proxy=$proxy
    fi
}

# shellcheck disable=SC2016  # awk's own variables
readonly PACKAGE_VERSION='$1 == "Package:" { here = ($2 == p) } here && $1 == "Version:" { print $2 }'

version_of_tree() {
    local installed=$tree/var/lib/dpkg postgres timescaledb
    postgres=$(awk -v p="postgresql-$MAJOR" "$PACKAGE_VERSION" "$installed/status")
    timescaledb=$(awk -v p="postgresql-$MAJOR-timescaledb" "$PACKAGE_VERSION" "$installed/status")
    printf 'TimescaleDB %s on PostgreSQL %s\n' "${timescaledb%%[-+]*}" "${postgres%%[-+]*}"
}

# --- Running. The server's folder is mounted over the tree's /mnt, so it may lie wherever the caller wants it.

# in_tree COMMAND...: as the tree's user postgres, seeing the data of --data.
in_tree() {
    # shellcheck disable=SC2016  # expanded by the inner shell
    exec unshare --mount --propagation private bash -euc '
        tree=$1 server=$2
        shift 2
        mount --bind "$server" "$tree/mnt"
        mount --rbind /dev "$tree/dev"
        mount -t proc proc "$tree/proc"
        cd /
        exec env --ignore-environment PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 TZ=UTC \
            chroot --userspec=postgres:postgres "$tree" "$@"
    ' in_tree "$tree" "$data/server" "$@"
}

make_cluster() {
    [ -e "$data/server/cluster" ] && return
    local uid gid
    IFS=: read -r _ _ uid gid _ < <(grep '^postgres:' "$tree/etc/passwd")
    mkdir -p "$data"
    rm -rf "$data/server"
    (umask 077 && mkdir "$data/server" && head -c 24 /dev/urandom | base64 | tr -d '/+=\n' >"$data/password")
    cp "$data/password" "$data/server/password"
    chown -R "$uid:$gid" "$data/server"
    # The locale is PostgreSQL's own: no libc, this tree's or another's, can change the order of an index.
    (in_tree "$BIN/initdb" --pgdata=/mnt/new --username=stackwatch --pwfile=/mnt/password --auth=scram-sha-256 \
        --encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8 --data-checksums) \
        >"$data/initdb.log" 2>&1 || {
        cat "$data/initdb.log" >&2
        rm -rf "$data/server"
        fail "initdb failed"
    }
    rm "$data/server/password"
    mv "$data/server/new" "$data/server/cluster"
}

# The pid of the running server of --data; nothing where there is none.
server_pid() {
    local pid=
    { read -r pid <"$data/server/cluster/postmaster.pid"; } 2>/dev/null || true
    # The file may be left from a machine that lost power, its number another process's by now.
    if [ -n "$pid" ] && tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q 'postgres -D /mnt/cluster'; then
        printf '%s\n' "$pid"
    fi
}

url_of_data() {
    local port
    [ -r "$data/port" ] || fail "no server was ever started on $data"
    port=$(cat "$data/port")
    printf 'postgresql://stackwatch:%s@127.0.0.1:%s/postgres\n' "$(cat "$data/password")" "$port"
}

server_arguments() {
    arguments=(-D /mnt/cluster -c listen_addresses=127.0.0.1 -c "port=$port" -c unix_socket_directories=
        -c shared_preload_libraries=timescaledb -c timescaledb.telemetry_level=off)
    local setting
    for setting in "${settings[@]}"; do
        arguments+=(-c "$setting")
    done
}

prepare() {
    need_root "$1"
    install_tree
    [ -n "$port" ] || port=$(cat "$data/port" 2>/dev/null || echo 5432)
    make_cluster
    server_arguments
}

start() {
    local pid
    pid=$(server_pid)
    if [ -n "$pid" ]; then
        [ -z "$port" ] || [ "$port" = "$(cat "$data/port")" ] ||
            fail "the server of $data already runs, on port $(cat "$data/port"); stop it first"
        url_of_data
        return
    fi
    prepare start
    printf '%s\n' "$port" >"$data/port"
    (in_tree setsid "$BIN/postgres" "${arguments[@]}") >>"$data/log" 2>&1 </dev/null &
    local server=$! deadline=$((SECONDS + READY_WITHIN_S))
    # Another server may answer on the port: ours is ready when its own file says that it runs, too.
    until [ "$(server_pid)" = "$server" ] && (in_tree "$BIN/pg_isready" --quiet --host=127.0.0.1 --port="$port"); do
        if ! kill -0 "$server" 2>/dev/null || [ $SECONDS -ge $deadline ]; then
            tail -n 5 "$data/log" >&2
            fail "the server did not start; its log is $data/log"
        fi
        sleep 0.2
    done
    url_of_data
}

# setpriv comes last: a change of user takes the death signal away again.
run() {
    prepare run
    printf '%s\n' "$port" >"$data/port"
    in_tree setpriv --pdeathsig INT "$BIN/postgres" "${arguments[@]}"
}

stop() {
    local pid deadline=$((SECONDS + STOPPED_WITHIN_S))
    pid=$(server_pid)
    [ -n "$pid" ] || return 0
    need_root stop
    kill -INT "$pid"
    while [ -n "$(server_pid)" ]; do
        [ $SECONDS -lt $deadline ] || fail "the server ($pid) does not end"
        sleep 0.1
    done
}

# --- Reading the command line.

main() {
    [ $# -gt 0 ] || misused "a command is missing"
    local command=$1 value
    shift
    if [ "$(id -u)" = 0 ]; then
        tree=/var/cache/stackwatch/$SUITE data=/var/lib/stackwatch-timescaledb
    else
        tree=${XDG_CACHE_HOME:-$HOME/.cache}/stackwatch/$SUITE
        data=${XDG_DATA_HOME:-$HOME/.local/share}/stackwatch-timescaledb
    fi
    port='' mirror='' settings=()
    while [ $# -gt 0 ]; do
        case $1 in
            --tree | --data | --port | --mirror | --set)
                [ $# -gt 1 ] || misused "$1 needs a value"
                value=$2
                ;;
            -h | --help) usage && return ;;
            *) misused "unknown argument: $1" ;;
        esac
        case $1 in
            --tree) tree=$(realpath --canonicalize-missing "$value") ;;
            --data) data=$(realpath --canonicalize-missing "$value") ;;
            --mirror) mirror=$value ;;
            --set) settings+=("$value") ;;
            --port)
                if ! [[ $value =~ ^[1-9][0-9]{0,4}$ ]] || [ "$value" -gt 65535 ]; then
                    misused "--port is a number from 1 to 65535, not '$value'"
                fi
                port=$value
                ;;
        esac
        shift 2
    done
    case $command in
        install) install_tree ;;
        start) start ;;
        run) run ;;
        stop) stop ;;
        url) url_of_data ;;
        version)
            complete || fail "there is no tree in $tree; make it with: timescaledb.sh install"
            version_of_tree
            ;;
        -h | --help | help) usage ;;
        *) misused "unknown command: $command" ;;
    esac
}

main "$@"
