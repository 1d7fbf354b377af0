-- Where each request went, where the hosts of its group are told apart: behind a route.

ALTER TABLE request ADD COLUMN host TEXT;
