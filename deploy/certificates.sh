#!/bin/sh
# A small certificate authority by openssl: `certificates.sh DIR ca | server NAME... | client IDENTITY... | revoke IDENTITY`.
#
# What exists is left alone: delete a certificate to have it made again. DIR/ca.key signs everything: keep it off the
# machines that only use certificates. An authority of your own does as well, if the
# subject of a client is its common name and nothing else.
set -eu
umask 077

DAYS_CA=3650
DAYS=825

fail() {
    echo "certificates.sh: $*" >&2
    exit 2
}

[ $# -ge 2 ] || fail "say DIR and one of: ca, server NAME..., client IDENTITY..., revoke IDENTITY"
folder=$1
command=$2
shift 2
mkdir -p "$folder"
cd "$folder"

key() {
    openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"
}

# sign NAME SUBJECT EXTENSIONS: a key, and a certificate for it
sign() {
    [ -f ca.key ] || fail "no ca.key in $folder: make one with 'ca'"
    key "$1.new"
    printf '%s\n' "$3" >"$1.ext"
    openssl req -new -key "$1.new.key" -subj "$2" -out "$1.csr"
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -set_serial "0x$(openssl rand -hex 16)" -days "$DAYS" \
        -sha256 -extfile "$1.ext" -out "$1.crt"
    mv "$1.new.key" "$1.key"
    rm -f "$1.csr" "$1.ext"
    echo "made $folder/$1.crt"
}

case $command in
ca)
    [ -f ca.crt ] && exit 0
    key ca
    openssl req -x509 -new -key ca.key -subj "/CN=stackwatch authority" -days "$DAYS_CA" -sha256 \
        -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" -out ca.crt
    echo "made $folder/ca.crt"
    ;;
server)
    [ $# -ge 1 ] || fail "server: name the hosts that clients will ask for"
    [ -f broker.crt ] && exit 0
    names=
    for name in "$@"; do
        case $name in
        *[!A-Za-z0-9.:*-]*) fail "no host: $name" ;;
        *:* | [0-9]*.[0-9]*.[0-9]*.[0-9]*) names="$names,IP:$name" ;;
        *) names="$names,DNS:$name" ;;
        esac
    done
    # Nodes of a cluster are each other's clients too.
    sign broker "/CN=$1" "subjectAltName=${names#,}
extendedKeyUsage=serverAuth,clientAuth"
    ;;
client)
    [ $# -ge 1 ] || fail "client: name the identities, such as SITE or SITE.EDGE"
    for name in "$@"; do
        case $name in
        "" | .* | *[!A-Za-z0-9_.-]*) fail "no identity: $name" ;;
        ca | broker) fail "$name is the name of a file of ours" ;;
        esac
        [ "${#name}" -le 64 ] || fail "a common name has at most 64 characters: $name"
        [ -f "$name.crt" ] || sign "$name" "/CN=$name" "extendedKeyUsage=clientAuth"
    done
    ;;
revoke)
    [ $# -eq 1 ] || fail "revoke: name one identity"
    [ -f "$1.crt" ] || fail "no certificate of $1 in $folder"
    [ -f index.txt ] || : >index.txt
    [ -f crlnumber ] || echo 01 >crlnumber
    printf '%s\n' "[ca]" "default_ca=own" "[own]" "database=index.txt" "crlnumber=crlnumber" "default_md=sha256" \
        "default_crl_days=$DAYS_CA" >revoke.cnf
    openssl ca -config revoke.cnf -cert ca.crt -keyfile ca.key -revoke "$1.crt"
    openssl ca -config revoke.cnf -cert ca.crt -keyfile ca.key -gencrl -out ca.crl
    mv "$1.crt" "$1.revoked.crt"
    rm -f "$1.key" revoke.cnf
    echo "made $folder/ca.crl without $1"
    ;;
*) fail "no such command: $command" ;;
esac
