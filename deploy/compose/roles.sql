-- The role that migrates and the role of the application, made once; run by the superuser, again without harm.
-- The passwords are in the environment: OWNER_PASSWORD, APPLICATION_PASSWORD.
\set ON_ERROR_STOP on
\getenv owner_password OWNER_PASSWORD
\getenv application_password APPLICATION_PASSWORD

SELECT format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', name)
  FROM unnest(ARRAY['tulou_owner', 'tulou_app']) AS wanted (name)
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec

ALTER ROLE tulou_owner PASSWORD :'owner_password';
ALTER ROLE tulou_app PASSWORD :'application_password';

SELECT 'CREATE DATABASE tulou OWNER tulou_owner'
 WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'tulou') \gexec

REVOKE ALL ON DATABASE tulou FROM PUBLIC;
GRANT CONNECT ON DATABASE tulou TO tulou_app;
