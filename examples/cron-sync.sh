#!/bin/sh
# One run of leadmirror for cron: quiet while everything works, the status on stderr when it does not, so that cron sends it by mail.
#
#   */5 * * * *  /path/to/leadmirror/examples/cron-sync.sh
#   30 3 * * *   /path/to/leadmirror/examples/cron-sync.sh --pass reconcile
#
# Settings come from the environment or from the .env in the folder where it runs. LEADMIRROR names another program than the one beside this folder.
set -u
program=${LEADMIRROR:-$(dirname "$0")/../bin/leadmirror.js}

summary=$(node "$program" sync "$@" 2>&1)
code=$?
[ "$code" -eq 0 ] && exit 0

printf '%s\n\n' "$summary" >&2
node "$program" status >&2
exit "$code"
