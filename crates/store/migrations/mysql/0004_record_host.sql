-- Where each request went, where the hosts of its group are told apart: behind a route. MySQL, unlike MariaDB, adds no
-- column under a condition, and what was begun may have to be done again.

SET @add_host = (
    SELECT IF(count(*) = 0, 'ALTER TABLE request ADD COLUMN host TEXT', 'DO 0')
    FROM information_schema.columns
    WHERE table_schema = DATABASE() AND table_name = 'request' AND column_name = 'host'
);
PREPARE add_host FROM @add_host;
EXECUTE add_host;
DEALLOCATE PREPARE add_host;
