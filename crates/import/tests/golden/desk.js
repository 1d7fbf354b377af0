const fetch = require('node-fetch');

ISSUER = 'http://login.test/token'

// One token for everybody of a name.
const tokens = {};

async function tokenOf(name, password) {
  if (tokens[name]) return tokens[name];
  const answer = await fetch(ISSUER, {
    method: 'POST',
    mode: 'cors',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: `grant_type=password&username=${name}&password=${password}`,
  });
  tokens[name] = await answer.json();
  return tokens[name];
}

async function addToken(requestParams, context, ee, next) {
  const { access_token } = await tokenOf(process.env.DESK_USER, process.env.DESK_PASSWORD);
  requestParams = {};
  requestParams.headers = {};
  requestParams.headers.Authorization = `Bearer ${access_token}`;
  next();
}

(async () => {
  if (require.main === module) console.log(await tokenOf('a', 'b'));
})();

module.exports = {
  addToken
}
