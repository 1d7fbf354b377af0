// Logs in once for every user name, as the service's own front end does, and signs every request.
'use strict';

const fetch = require('node-fetch');

const { TARGET, KEYCLOAK_USERNAME, KEYCLOAK_PASSWORD } = process.env;
const tokens = {};

async function login(username, password) {
  const response = await fetch(`${TARGET}/auth/realms/booking/protocol/openid-connect/token`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({ grant_type: 'password', client_id: 'booking', username, password }),
  });
  if (!response.ok) throw new Error(`the login of ${username} was refused: ${response.status}`);
  return (await response.json()).access_token;
}

async function setAuthHeader(requestParams, context, events, next) {
  tokens[KEYCLOAK_USERNAME] ??= login(KEYCLOAK_USERNAME, KEYCLOAK_PASSWORD);
  requestParams.headers ??= {};
  requestParams.headers.Authorization = `Bearer ${await tokens[KEYCLOAK_USERNAME]}`;
  return next();
}

module.exports = { setAuthHeader };
