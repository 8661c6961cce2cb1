-- Who may do what, and who beats.

CREATE TABLE principal (
    principal_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    roles text[] NOT NULL,
    sites text[] NOT NULL DEFAULT '{}',    -- empty: not narrowed by site
    regions text[] NOT NULL DEFAULT '{}',  -- empty: not narrowed by region
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE token (
    token_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    principal_id integer NOT NULL REFERENCES principal,
    hash bytea NOT NULL UNIQUE,     -- SHA-256 of a random token; the token itself is nowhere
    hint text NOT NULL,             -- its first characters, to tell tokens apart in a list
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE TABLE audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    principal_id integer REFERENCES principal,
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}'
);

CREATE TABLE idempotency (
    principal_id integer NOT NULL REFERENCES principal,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer NOT NULL,
    answer jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal_id, key)
);

CREATE TABLE heartbeat (
    component text NOT NULL CHECK (component IN ('ingestor', 'stage', 'outgoing', 'broker')),
    instance text NOT NULL,
    beat_at timestamptz NOT NULL,
    ok boolean NOT NULL,
    detail jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (component, instance)
);
