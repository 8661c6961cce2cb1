#!/bin/sh
# Write the image's lock files anew: the part of requirements.lock that the processes need, and what builds our wheel.
# Run it after `make lock`.
set -eu
cd "$(dirname "$0")/../.."

compile() {
    .venv/bin/uv pip compile --quiet --universal --python-version 3.13 --constraint requirements.lock \
        --generate-hashes --no-emit-index-url --no-annotate --no-header "$@"
}

compile pyproject.toml --extra edge --extra sim --extra ingestor --extra alerts --extra api \
    --output-file deploy/image/processes.lock
echo hatchling | compile - --output-file deploy/image/build.lock
