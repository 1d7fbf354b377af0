// Passes messages on from queue `in` to queue `out` of a broker, and of each hundred loses one, doubles one and lets
// one change places with the next. Arguments: the URL of the broker, how many messages there are. Tells what it has done.
'use strict';

const amqp = require('amqplib');

const [, , url, all] = process.argv;
const done = { lost: 0, doubled: 0, swapped: 0 };
let seen = 0;
let held;

const pass = (message) => {
  const place = seen % 100;
  seen += 1;
  let out = [message];
  if (place === 10) {
    done.lost += 1;
    out = [];
  } else if (place === 40) {
    done.doubled += 1;
    out = [message, message];
  } else if (place === 70) {
    held = message;
    return [];
  }
  if (held !== undefined) {
    done.swapped += 1;
    out.push(held);
    held = undefined;
  }
  return out;
};

const main = async () => {
  const connection = await amqp.connect(url);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue('in', { durable: true });
  await channel.assertQueue('out', { durable: true });
  await channel.prefetch(256);
  await channel.consume('in', async (message) => {
    channel.ack(message);
    const { headers } = message.properties;
    pass(message).forEach((one) => channel.sendToQueue('out', one.content, { headers: one.properties.headers ?? headers }));
    if (seen === Number(all)) {
      await channel.waitForConfirms();
      console.log(JSON.stringify(done));
      process.exit(0);
    }
  });
  console.log('ready');
};

main();
