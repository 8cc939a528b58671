# Build stage: the hub with the system's libpq, so that hosted databases can be reached by TLS.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential pkg-config libpq-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
COPY migrations ./migrations
COPY benches ./benches
COPY clients/js/src ./clients/js/src
COPY clients/js/demo ./clients/js/demo
COPY clients/js/console ./clients/js/console
RUN cargo build --release --locked --no-default-features --features cli,postgres-system

# Run stage: slim, not root, one writable folder.
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libpq5 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/staffetta --create-home staffetta
COPY --from=build /src/target/release/staffetta /usr/local/bin/staffetta
USER staffetta
WORKDIR /var/lib/staffetta
VOLUME /var/lib/staffetta
ENV STAFFETTA_SERVER_LISTEN=0.0.0.0:3000
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 CMD ["staffetta", "health"]
ENTRYPOINT ["staffetta"]
CMD ["serve"]
