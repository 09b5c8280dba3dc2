# shellcheck shell=bash
# shellcheck disable=SC2154 # lib.sh sets the folders and addresses
# Kafka, Postgres and Redis of the demo: the lab's own scripts, with ports of their own beside `make lab-up`, and one more
# address each for pods.

stores_lab=$lab/cluster-stores
export ASSAY_KAFKA_PORT=29092 ASSAY_KAFKA_CONTROLLER_PORT=29093 ASSAY_POSTGRES_PORT=25433 ASSAY_REDIS_PORT=26380
export ASSAY_KAFKA_POD_LISTENER=PODS://$gateway:29094
export ASSAY_LISTEN_ADDRESSES=127.0.0.1,$gateway

stores_run() { lab=$stores_lab running_process kafka > /dev/null; }

start_stores() { stores_run || ASSAY_LAB=$stores_lab "$here/up" > /dev/null; }

stop_stores() { [ ! -d "$stores_lab" ] || ASSAY_LAB=$stores_lab "$here/down"; }

# Services without a selector, whose one endpoint is the bridge's address: pods use the names of a real cluster.
stores_as_services() {
  sed -e "s/@ADDRESS@/$gateway/" -e "s/@KAFKA_PORT@/29094/" -e "s/@POSTGRES_PORT@/$ASSAY_POSTGRES_PORT/" \
    -e "s/@REDIS_PORT@/$ASSAY_REDIS_PORT/" "$kubernetes/stores.yaml"
}
