#!/bin/sh
# Make what is missing in the folder `secrets` beside compose.yaml: `secrets.sh [HOST...]`.
#
# HOST: the names and addresses under which edges reach the broker, for its certificate. What exists is left alone.
# compose hands files over with the modes that they have here, and the processes are not their owner: so the files are
# readable, and the folder is closed to everybody but you.
set -eu
umask 077
cd "$(dirname "$0")"
mkdir -p secrets
chmod 700 secrets

if [ ! -f secrets/database_password ]; then
    openssl rand -hex 24 | tr -d '\n' >secrets/database_password
fi
if [ ! -f secrets/database_url ]; then
    printf 'postgresql://stackwatch:%s@database:5432/stackwatch' "$(cat secrets/database_password)" >secrets/database_url
fi
if [ ! -f secrets/order.pem ]; then
    openssl genpkey -algorithm ed25519 -out secrets/order.pem
fi
# The raw key is the last 32 of the 44 bytes of its DER form.
openssl pkey -in secrets/order.pem -pubout -outform DER | tail -c 32 | openssl base64 -A >secrets/order.pub
# Seals what receivers of notifications are reached by: 32 bytes in URL-safe base64, one key a line.
if [ ! -f secrets/secrets.key ]; then
    openssl rand -base64 32 | tr '+/' '-_' >secrets/secrets.key
fi

../certificates.sh secrets ca
../certificates.sh secrets server broker localhost 127.0.0.1 "$@"
../certificates.sh secrets client stackwatch.system.ingestor stackwatch.system.deliverer demo-works
chmod 444 secrets/*
chmod 400 secrets/ca.key
