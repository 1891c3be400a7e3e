#!/usr/bin/env bash
# The HTTP interface as /openapi.json describes it: no 500, nothing answered that is not described.
#   pip install -e '.[fuzz]' && bash tests/fuzz/schemathesis.sh [EXAMPLES per operation, default 200]
set -euo pipefail
cd "$(dirname "$0")/../.."
out=$(mktemp)
export SCHEMATHESIS_HOOKS=tests.fuzz.hooks PYTHONPATH=. EMOTHINKER_SERVER__REQUESTS_PER_S=1000000 EMOTHINKER_SERVER__REQUESTS_BURST=1000000
# A session whose media never come stays for as long as it is asked about.
export EMOTHINKER_INGEST__CONNECT_S=600
"${PYTHON:-python}" -m tests.browser.scripted_server >"$out" 2>/dev/null &
server=$!
trap 'kill $server; rm -f "$out"' EXIT
for _ in $(seq 240); do grep -q ^Open "$out" && break; sleep 0.5; done
url=$(sed -n 's/^Open //p' "$out")
export SERVER_URL=$url
"${SCHEMATHESIS:-schemathesis}" run "$url/openapi.json" --max-examples "${1:-200}" --suppress-health-check all \
  --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance
