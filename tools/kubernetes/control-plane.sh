#!/usr/bin/env bash
# Installs, upgrades and rolls back the chart against a real API server, has it checked strictly, and drains a node. Outside CI:
# kube-apiserver takes twenty minutes to build. Prints Markdown; docs/kubernetes.md says how to get the programs.
#
#     tools/kubernetes/control-plane.sh BIN CRDS
#
# BIN: folder with etcd, kube-apiserver, kube-controller-manager, kubectl and helm.
# CRDS: folder with the CRDs of KEDA's ScaledObject and of the Prometheus operator's ServiceMonitor and PrometheusRule.
set -euo pipefail
bin=$(realpath "$1") crds=$(realpath "$2")
chart=$(realpath "$(dirname "$0")/../../deploy/helm/pursuit")
work=$(mktemp -d)
pids=()
end() {
  # Nothing of theirs is kept.
  kill -KILL "${pids[@]}" 2>/dev/null || true
  wait
  rm -rf "$work"
}
trap end EXIT
start() { "$bin/$1" "${@:2}" >"$work/$1.log" 2>&1 & pids+=($!); }
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
# until_ok COMMAND…: repeats it for two minutes at most.
until_ok() {
  local end=$((SECONDS + 120))
  until "$@" >"$work/last" 2>&1; do
    ((SECONDS < end)) || { cat "$work/last" >&2; return 1; }
    sleep 1
  done
}

client=$(free_port) peer=$(free_port) api=$(free_port)
start etcd --data-dir "$work/etcd" --listen-client-urls "http://127.0.0.1:$client" --advertise-client-urls "http://127.0.0.1:$client" \
  --listen-peer-urls "http://127.0.0.1:$peer" --initial-advertise-peer-urls "http://127.0.0.1:$peer" --initial-cluster "default=http://127.0.0.1:$peer"
echo anyone,try,try,system:masters >"$work/tokens"
openssl genrsa -out "$work/sa.key" 2048 2>/dev/null
start kube-apiserver --etcd-servers "http://127.0.0.1:$client" --bind-address 127.0.0.1 --secure-port "$api" --cert-dir "$work/certs" \
  --service-cluster-ip-range 10.0.0.0/24 --authorization-mode AlwaysAllow --token-auth-file "$work/tokens" --endpoint-reconciler-type none \
  --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$work/sa.key" --service-account-signing-key-file "$work/sa.key"
export KUBECONFIG=$work/config
cat >"$KUBECONFIG" <<CONFIG
apiVersion: v1
kind: Config
clusters: [{name: try, cluster: {server: "https://127.0.0.1:$api", insecure-skip-tls-verify: true}}]
contexts: [{name: try, context: {cluster: try, user: try}}]
users: [{name: try, user: {token: anyone}}]
current-context: try
CONFIG
kubectl() { "$bin/kubectl" "$@"; }
helm() { "$bin/helm" "$@" 2> >(grep -v 'walk.go' >&2); }
until_ok kubectl get --raw /readyz

echo "$(date -u '+%Y-%m-%d %H:%M') UTC; etcd $("$bin/etcd" --version | sed -n 's/^etcd Version: //p'), $("$bin/kube-apiserver" --version)," \
  "kubectl $(kubectl version --client -o json | sed -n 's/.*"gitVersion": "\(.*\)".*/\1/p'), helm $("$bin/helm" version --template '{{.Version}}')."
echo
echo '```'
say() { printf '%s\n' "$*"; }
kubectl create -f "$crds" >/dev/null
until_ok kubectl get scaledobjects,servicemonitors,prometheusrules
kubectl create namespace team >/dev/null

common=(--namespace team --set "serviceMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true,keys.existingSecret=pursuit-keys")
for kind in none hpa keda; do
  say "install, autoscaling $kind: $(helm install "$kind" "$chart" "${common[@]}" --set autoscaling.kind=$kind | sed -n 's/^STATUS: //p')"
done
kubectl -n team get deployments,hpa,scaledobjects,pdb,networkpolicies,servicemonitors,prometheusrules -o name
say "job: $(helm install bulk "$chart" --namespace team --set replicaCount=1 --set-json 'encodeFiles={"enabled":true,"completions":4,"parallelism":2,"dictionary":"one","inputs":["/data/*.npy"],"data":{"emptyDir":{}}}' | sed -n 's/^STATUS: //p'), $(kubectl -n team get jobs -o name)"

field() { kubectl -n team get deployment none-pursuit -o jsonpath="$1"; }
wait_of='{.spec.template.spec.containers[0].env[?(@.name=="PURSUIT_MAX_WAIT_MS")].value}'
helm upgrade none "$chart" "${common[@]}" --set settings.PURSUIT_MAX_WAIT_MS=2000,replicaCount=3 >/dev/null
say "upgrade: revision $(helm list -n team --filter '^none$' -o json | sed 's/.*"revision":"\([0-9]*\)".*/\1/'), PURSUIT_MAX_WAIT_MS=$(field "$wait_of"), replicas $(field '{.spec.replicas}')"
if helm upgrade none "$chart" "${common[@]}" --set autoscaling.kind=hpaa >/dev/null 2>&1; then say 'a wrong value was taken'; exit 1; fi
say "upgrade with autoscaling.kind=hpaa: refused"
helm rollback none 1 --namespace team >/dev/null
say "rollback: PURSUIT_MAX_WAIT_MS=$(field "$wait_of" | grep . || echo default), replicas $(field '{.spec.replicas}')"
version=$("$bin/kube-apiserver" --version | sed 's/.* v//')
# The server checks a manifest in full, unknown fields too.
"$bin/helm" template try "$chart" --namespace team --kube-version "$version" 2>/dev/null | sed 's/periodSeconds: 5/periodSecond: 5/' >"$work/typo.yaml"
if kubectl create --dry-run=server --validate=strict -f "$work/typo.yaml" >/dev/null 2>"$work/refused"; then say 'a wrong field was taken'; exit 1; fi
say "a wrong field: $(grep -o 'unknown field "[^"]*"' "$work/refused" | head -1)"
"$bin/helm" template try "$chart" --namespace team --kube-version "$version" 2>/dev/null | kubectl create --dry-run=server --validate=strict -f - | sed 's/^/strict: /'

# Controllers, and nodes without machines.
start kube-controller-manager --kubeconfig "$KUBECONFIG" --service-account-private-key-file "$work/sa.key" --leader-elect=false \
  --bind-address 127.0.0.1 --secure-port "$(free_port)" --cert-dir "$work/certs-manager" --node-monitor-grace-period 1h --node-startup-grace-period 1h
python3 "$(dirname "$0")/stand_in.py" "https://127.0.0.1:$api" anyone 2>"$work/stand_in.log" & pids+=($!)
for node in one two three; do
  printf '{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-%s"}, "spec": {"unschedulable": %s}}' "$node" "$([ "$node" = one ] && echo false || echo true)" |
    kubectl create -f - >/dev/null
  kubectl patch node "node-$node" --subresource=status --type=merge -p \
    '{"status": {"capacity": {"cpu": "8", "memory": "32Gi", "pods": "20"}, "allocatable": {"cpu": "8", "memory": "32Gi", "pods": "20"}, "conditions": [{"type": "Ready", "status": "True", "reason": "StandIn"}]}}' >/dev/null
done
for release in none hpa keda bulk; do helm uninstall "$release" --namespace team >/dev/null; done
helm install fleet "$chart" --namespace team >/dev/null
pods() { kubectl -n team get pods -l app.kubernetes.io/instance=fleet,app.kubernetes.io/component=server -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort | uniq -c | awk '{printf "%s%s on %s", sep, $1, $2; sep = ", "}'; }
until_ok kubectl -n team wait --for=condition=Available deployment/fleet-pursuit --timeout=100s
say "drain: $(pods); the disruption budget allows $(kubectl -n team get pdb fleet-pursuit -o jsonpath='{.status.disruptionsAllowed}') of $(kubectl -n team get pdb fleet-pursuit -o jsonpath='{.status.expectedPods}') to be away"
kubectl uncordon node-two node-three >/dev/null
"$bin/kubectl" -n team get pdb fleet-pursuit --watch -o jsonpath='{.status.currentHealthy}{"\n"}' >"$work/healthy" & pids+=($!)
kubectl drain node-one --ignore-daemonsets --delete-emptydir-data --timeout=110s 2>&1 | sed -E 's/(pursuit)-[a-z0-9]+-[a-z0-9]+/\1-…/g; s/^/drain: /'
until_ok kubectl -n team wait --for=condition=Available deployment/fleet-pursuit --timeout=100s
say "drain: $(pods); at least $(sort -n "$work/healthy" | head -1) ready meanwhile"
helm uninstall fleet --namespace team >/dev/null; kubectl delete nodes --all >/dev/null
until_ok sh -c "[ -z \"\$('$bin/kubectl' -n team get pods -o name)\" ]"
say "uninstall: $(kubectl -n team get deployments,services,jobs,pdb,networkpolicies -o name | wc -l) resources left"
echo '```'
