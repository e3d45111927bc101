# Start the broker with the users in definitions.json and their passwords from the environment. RabbitMQ
# imports them at every start, so `docker compose up -d` applies a changed password.
set -eu
umask 077
awk '{
    while (match($0, /\$\{[A-Z_]+\}/)) {
        name = substr($0, RSTART + 2, RLENGTH - 3)
        $0 = substr($0, 1, RSTART - 1) ENVIRON[name] substr($0, RSTART + RLENGTH)
    }
    print
}' /deploy/definitions.json > /tmp/definitions.json
umask 022
exec docker-entrypoint.sh rabbitmq-server
