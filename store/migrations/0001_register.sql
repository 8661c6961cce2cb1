-- The register: who stands where, and every version of what was written about it.
-- The document of a row is the table a person wrote; columns repeat only what queries need.

CREATE TABLE region (
    region_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE,
    document jsonb NOT NULL,
    version integer NOT NULL DEFAULT 1
);

CREATE TABLE site (
    site_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code text NOT NULL UNIQUE,
    region_id integer NOT NULL REFERENCES region,
    timezone text NOT NULL,
    simulated boolean NOT NULL,
    document jsonb NOT NULL,
    version integer NOT NULL DEFAULT 1
);

CREATE TABLE unit (
    unit_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id integer NOT NULL REFERENCES site,
    code text NOT NULL,
    document jsonb NOT NULL,
    version integer NOT NULL DEFAULT 1,
    withdrawn_at timestamptz,
    UNIQUE (site_id, code)
);

CREATE TABLE stack (
    stack_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id integer NOT NULL REFERENCES site,
    code text NOT NULL,
    interval_s integer NOT NULL CHECK (interval_s BETWEEN 1 AND 3600),
    document jsonb NOT NULL,
    version integer NOT NULL DEFAULT 1,
    withdrawn_at timestamptz,  -- no longer in the register; its history stays
    UNIQUE (site_id, code)
);

CREATE TABLE register_version (
    kind text NOT NULL CHECK (kind IN ('region', 'site', 'unit', 'stack')),
    key text NOT NULL,  -- region, site, site/unit or site/stack
    version integer NOT NULL,
    document jsonb NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, key, version)
);
