#!/bin/sh
# Serve the gallery to the network, and only with a token: from the environment or a secret.
set -eu
secret=${RESEEN_TOKEN_FILE:-/run/secrets/reseen_token}
if [ -z "${RESEEN_TOKEN:-}" ] && [ -r "$secret" ]; then
    RESEEN_TOKEN=$(cat "$secret")
fi
if [ -z "${RESEEN_TOKEN:-}" ]; then
    echo "reseen: no token. Give RESEEN_TOKEN in the environment, or the secret reseen_token." >&2
    exit 1
fi
export RESEEN_TOKEN
exec reseen serve /gallery --host 0.0.0.0 "$@"
