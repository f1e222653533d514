#!/bin/sh
# Start the server with those secrets of the deployment that are set: Baseten mounts each as a file.
set -eu
secrets=${SECRETS_FOLDER:-/secrets}

give() { # NAME VARIABLE
    if [ -s "$secrets/$1" ]; then export "$2=$(cat "$secrets/$1")"; fi
}

give admin_key ADMIN_KEY
give hf_access_token HF_TOKEN
give database_url IFW_DATABASE_URL
give webhook_secret IFW_WEBHOOK_SECRET
exec python3 -m ifw serve --host 127.0.0.1 --port "${SERVER_PORT:-8000}"
