# Installs Artillery, for scripts that compare with it; sourced at the root of the tree, not to be run by itself.
# shellcheck shell=bash

readonly ARTILLERY=artillery@2.0.21 TOOLS="$PWD/.tools/artillery"
export ARTILLERY_DISABLE_TELEMETRY=true

command -v npm >/dev/null || { echo "artillery: npm is missing (Debian: apt-get install npm)" >&2; exit 1; }
if [ "$(cat "$TOOLS/.wanted" 2>/dev/null)" != "$ARTILLERY" ]; then
  rm -rf "$TOOLS"
  mkdir -p "$TOOLS"
  echo '{"private": true}' >"$TOOLS/package.json"
  npm install --prefix "$TOOLS" --silent --no-audit --no-fund --ignore-scripts "$ARTILLERY" ws@8
  echo "$ARTILLERY" >"$TOOLS/.wanted"
fi
