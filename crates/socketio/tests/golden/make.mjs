// Makes the golden files beside it with the parsers that socket.io itself uses. To make them anew:
//
//   mkdir parsers && cd parsers
//   npm install --ignore-scripts eio5@npm:engine.io-parser@5 eio2@npm:engine.io-parser@2 \
//     sio4@npm:socket.io-parser@4 sio3@npm:socket.io-parser@3
//   node ../make.mjs .
//
// and take the directory away again. Texts of packets are taken from the parsers, what they mean is written here.
// `judged` says of texts that no server should send whether the parser takes them.

import { createRequire } from "node:module";
import { writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const parsers = createRequire(resolve(process.argv[2] ?? ".", "package.json"));
const versionOf = (name) => parsers(`./node_modules/${name}/package.json`).version;
const base64 = (bytes) => Buffer.from(bytes).toString("base64");
const bytes = (text) => Buffer.from(text, "base64");
const wire = (data) => (typeof data === "string" ? { text: data } : { binary: base64(data) });

function write(name, made_with, content) {
  // One case a line.
  const lines = Object.entries(content).map(([key, cases]) => {
    const rows = cases.map((one) => `    ${JSON.stringify(one)}`).join(",\n");
    return `  ${JSON.stringify(key)}: [\n${rows}\n  ]`;
  });
  const head = `  "made_with": ${JSON.stringify(made_with)}`;
  writeFileSync(resolve(here, `${name}.json`), `{\n${[head, ...lines].join(",\n")}\n}\n`);
}

// Engine.IO. A packet: {type, text} or {type, binary}, the handshake {type, handshake}.

const all256 = Buffer.from(Array.from({ length: 256 }, (_, at) => at));
const handshake4 = {
  sid: "lv_VI97HAXpY6yYWAAAB", upgrades: ["websocket"], pingInterval: 25000, pingTimeout: 20000, maxPayload: 1000000,
};
const handshake3 = { sid: "QjMxWlQ2AAAA", upgrades: [], pingInterval: 25000, pingTimeout: 5000 };
const text = (data) => ({ type: "message", text: data });
const binary = (data) => ({ type: "message", binary: base64(data) });

const packets = {
  open: null,
  close: { type: "close" },
  ping: { type: "ping" },
  "ping of a probe": { type: "ping", text: "probe" },
  pong: { type: "pong" },
  "pong of a probe": { type: "pong", text: "probe" },
  upgrade: { type: "upgrade" },
  noop: { type: "noop" },
  "empty message": text(""),
  message: text("hello"),
  "message that looks like base64": text("b4AAA="),
  "two bytes in UTF-8": text("grüße"),
  "three bytes in UTF-8": text("€ 你好"),
  "emoji: two UTF-16 code units": text("😀"),
  "emoji of several": text("a👩‍👩‍👧‍👦z🇩🇪"),
  "U+2028, U+FEFF, U+FFFD": text("\u2028\ufeff\ufffd"),
  "digits and colons": text("3:4ab12:"),
  "no bytes": binary([]),
  "one byte": binary([255]),
  "bytes that look like a packet": binary(Buffer.from("4hello")),
  "all bytes": binary(all256),
};

/** The packet as the parser takes it. */
function given(packet) {
  if (packet.handshake) return { type: packet.type, data: JSON.stringify(packet.handshake) };
  if (packet.binary !== undefined) return { type: packet.type, data: bytes(packet.binary) };
  return packet.text === undefined ? { type: packet.type } : { type: packet.type, data: packet.text };
}

const payloads = [
  ["one", [text("hello")]],
  ["several", [text("a"), { type: "ping" }, { type: "pong" }, text("b"), { type: "noop" }]],
  ["unicode", [text("€"), text("😀"), text("é😀你"), { type: "close" }]],
  ["binary alone", [binary([1, 2, 3])]],
  ["text and binary", [text("451-[...]"), binary(all256), text("😀"), binary([])]],
  ["long", [text("x".repeat(1234)), binary(Buffer.alloc(1000, 7))]],
];

const decoded = (packet) => packet.type !== "error";

function engineIo4() {
  const eio = parsers("eio5");
  const encode = (packet, supportsBinary) => {
    let out;
    eio.encodePacket(given(packet), supportsBinary, (data) => (out = data));
    return out;
  };
  const known = { ...packets, open: { type: "open", handshake: handshake4 } };
  const frames = Object.entries(known).flatMap(([name, packet]) => {
    const frame = { name, packet, frame: wire(encode(packet, true)) };
    return packet.binary === undefined
      ? [frame]
      : [frame, { name: `${name} in base64`, packet, frame: wire(encode(packet, false)) }];
  });
  const bodies = payloads.map(([name, list]) => {
    let body;
    eio.encodePayload(list.map(given), (data) => (body = data));
    return { name, packets: list, body: wire(body) };
  });
  const judged = [
    "", "7", "8hello", "x", "\u{1e}", "b", "b=", "bAA", "bAA==", "bAAA", "b!!!!", "1x", "5x", "6x", "２", "-1",
  ].map((frame) => ({ frame, taken: decoded(eio.decodePacket(frame)) }));
  const judged_bodies = ["", "\u{1e}", "6\u{1e}", "\u{1e}6", "6\u{1e}\u{1e}6", "6\u{1e}7", "6\u{1e}6"].map((body) => ({
    body,
    taken: eio.decodePayload(body).every(decoded),
  }));
  write("engine_io_4", { "engine.io-parser": versionOf("eio5") }, { frames, bodies, judged, judged_bodies });
}

function engineIo3() {
  const eio = parsers("eio2");
  const encode = (packet, supportsBinary) => {
    let out;
    eio.encodePacket(given(packet), supportsBinary, false, (data) => (out = data));
    return out;
  };
  const known = { ...packets, open: { type: "open", handshake: handshake3 } };
  const frames = Object.entries(known).flatMap(([name, packet]) => {
    const frame = { name, packet, frame: wire(encode(packet, true)) };
    return packet.binary === undefined
      ? [frame]
      : [frame, { name: `${name} in base64`, packet, frame: wire(encode(packet, false)) }];
  });
  const bodies = payloads.flatMap(([name, list]) =>
    [true, false].map((supportsBinary) => {
      let body;
      eio.encodePayload(list.map(given), supportsBinary, (data) => (body = data));
      return { name, packets: list, form: supportsBinary ? "as needed" : "text", body: wire(body) };
    }),
  );
  // What servers send to clients that take binary data, as those of Python always do: texts as bytes.
  for (const [name, list] of payloads) {
    let body;
    eio.encodePayloadAsBinary(list.map(given), (data) => (body = data));
    bodies.push({ name: `${name}, all of it as bytes`, packets: list, form: "bytes", body: wire(body) });
  }
  bodies.push({ name: "none", packets: [], form: "decode only", body: wire("0:") });
  const taken = (body) => {
    let isTaken = true;
    eio.decodePayload(body, (packet) => {
      isTaken &&= decoded(packet) && packet.type !== undefined;
    });
    return isTaken;
  };
  const judged = ["", "7", "8hello", "x", "b", "b4", "b4AAA", "b4AA==", "b9AA==", "1x", "5x", "6x", "２"].map(
    (frame) => {
      const packet = eio.decodePacket(frame);
      return { frame, taken: decoded(packet) && packet.type !== undefined };
    },
  );
  const judged_bodies = [
    "", ":", "4", "1", "1:", "1:6", "2:6", "1:6x", "1:61", "1:61:", "1:61:6", "0:1:6", "a:6", "-1:6", "1:7", "1:b",
    "2:4😀", "3:4😀", "4:4😀", "1e0:6", "01:6", "5:b4AA=",
  ].map((body) => ({ body: { text: body }, taken: taken(body) }));
  for (const body of [
    [0, 1, 255, 54], [0, 1, 255], [0, 255, 54], [0, 1, 54], [2, 1, 255, 54], [1, 1, 255, 4], [1, 1, 255, 2],
    [1, 0, 255], [0, 0, 255], [0, 2, 255, 52, 255], [0, 1, 255, 54, 0], [0, 0, 1, 255, 54], [0, 12, 255, 54],
  ]) {
    judged_bodies.push({ body: { binary: base64(body) }, taken: taken(Buffer.from(body)) });
  }
  write("engine_io_3", { "engine.io-parser": versionOf("eio2") }, { frames, bodies, judged, judged_bodies });
}

// Socket.IO. A packet: {type, nsp, id, data}, with places of attachments in its data, and the attachments.

const place = (num) => ({ _placeholder: true, num });
const A = base64([1, 2, 3]);
const B = base64([]);
const C = base64(all256);

const shared = [
  ["event", { type: "EVENT", nsp: "/", data: ["hello"] }],
  ["event with arguments", { type: "EVENT", nsp: "/", data: ["hello", 1, "2", [3], { a: null, b: true }] }],
  ["event with an ack", { type: "EVENT", nsp: "/", id: 0, data: ["hello"] }],
  ["event with a large ack", { type: "EVENT", nsp: "/", id: 9007199254740991, data: ["hello"] }],
  ["event in a namespace", { type: "EVENT", nsp: "/admin", data: ["hello", "/x,1"] }],
  ["event in a deep namespace with an ack", { type: "EVENT", nsp: "/a/b/ü", id: 12, data: ["hello"] }],
  ["event without a name", { type: "EVENT", nsp: "/", data: [""] }],
  ["unicode", { type: "EVENT", nsp: "/", data: ["grüße 😀", "你好\u2028", { "schlüssel 🗝": "€" }] }],
  ["escapes", { type: "EVENT", nsp: "/", data: ["a\"b\\c", "\b\f\n\r\t\u0000\u001e\u001f\u007f/"] }],
  ["numbers", { type: "EVENT", nsp: "/", data: ["n", 0, -1, 1.5, -0.25, 4294967296, 9007199254740991] }],
  ["nothing", { type: "EVENT", nsp: "/", data: ["n", null, false, "", [], {}] }],
  ["an object that looks like a place", { type: "EVENT", nsp: "/", data: ["n", place(0)] }],
  ["ack", { type: "ACK", nsp: "/", id: 0, data: [] }],
  ["ack with arguments", { type: "ACK", nsp: "/", id: 456, data: [null, { ok: true }] }],
  ["ack in a namespace", { type: "ACK", nsp: "/admin", id: 7, data: ["a"] }],
  ["disconnect", { type: "DISCONNECT", nsp: "/" }],
  ["disconnect in a namespace", { type: "DISCONNECT", nsp: "/admin" }],
  ["connect in a namespace", { type: "CONNECT", nsp: "/admin" }],
  ["binary event", { type: "EVENT", nsp: "/", data: ["file", place(0)] }, [A]],
  ["binary event of no bytes", { type: "EVENT", nsp: "/", data: ["file", place(0)] }, [B]],
  ["binary event with an ack", { type: "EVENT", nsp: "/", id: 23, data: ["file", place(0), "x"] }, [C]],
  ["nested attachments", {
    type: "EVENT", nsp: "/admin", id: 1,
    data: ["files", [place(0), { a: { b: [place(1)] } }], place(2), { c: "😀" }],
  }, [A, B, C]],
  ["ten attachments", {
    type: "EVENT", nsp: "/", data: ["files", ...Array.from({ length: 10 }, (_, num) => place(num))],
  }, Array(10).fill(A)],
  ["binary ack", { type: "ACK", nsp: "/", id: 3, data: [place(0)] }, [A]],
  ["binary ack in a namespace", { type: "ACK", nsp: "/admin", id: 3, data: [{ a: place(0) }, place(1)] }, [C, A]],
];

/** The data with the attachments in their places. */
function filled(data, attachments) {
  if (attachments.length === 0 || data === null || typeof data !== "object") return data;
  if (data._placeholder === true) return bytes(attachments[data.num]);
  if (Array.isArray(data)) return data.map((one) => filled(one, attachments));
  return Object.fromEntries(Object.entries(data).map(([key, one]) => [key, filled(one, attachments)]));
}

const judgedTexts = [
  "", "7", "9", "x", "2", "20", "2[", "2[]", "2{}", "2[null]", "2[true]", "2[{}]", "2[1]", '2["a"', '2["a"]x',
  '2["a"]2["a"]', '2["a"]\u{1e}2["a"]', '2"a"', '2/admin["a"]', '2/admin', '2/admin,', '2/,["a"]', '2/admin,1["a"]',
  '2["connect"]', '2["disconnect"]', "3[]", "3", "31", "31{}", "31[", '31"a"', "30[]", '3/admin,1["a"]',
  "5", "5-", '5-["a"]', '50-["a"]', '5["a"]', '51["a"]', '51-["a"]', '51-["a",{"_placeholder":true,"num":0}]',
  '5-1-["a"]', '51.5-["a"]', '511-["a"]', '5x-["a"]', '510-["a"]', '599999999999999999999-["a"]', "51-", "51-{}",
  "61-[]", "61-1[]", "61-1{}", "1", "1{}", '1"a"', "1/admin", "1/admin,", "1/admin,x", "10",
  "0", '0"a"', "0{", "0{}", "0[]", "0null", "01", '0/admin,{"sid":"x"}', "0/admin", "4", "4x", '4"a"', "4{}", "41",
  "4null", "4[]", "4true", '4/admin,"a"',
];

function socketIo(name, versionName, specific, run) {
  const cases = [...shared, ...specific].map(([name, packet, attachments = []]) => {
    const [text, ...buffers] = run.encode({ ...packet, data: filled(packet.data, attachments) });
    return { name, packet, text, attachments: buffers.map(base64) };
  });
  const judged = judgedTexts.map((text) => ({ text, taken: run.takes(text) }));
  write(name, { "socket.io-parser": versionOf(versionName) }, { packets: cases, judged });
}

function socketIo5() {
  const sio = parsers("sio4");
  const specific = [
    ["connect", { type: "CONNECT", nsp: "/" }],
    ["connect with auth", { type: "CONNECT", nsp: "/", data: { token: "ü", user: { id: 1 } } }],
    ["connect with auth in a namespace", { type: "CONNECT", nsp: "/admin?a=b", data: { token: "x" } }],
    ["connected", { type: "CONNECT", nsp: "/", data: { sid: "wZX3oN0bSVIhsaknAAAI" } }],
    ["connected in a namespace", { type: "CONNECT", nsp: "/admin", data: { pid: "p", sid: "s" } }],
    ["refused", { type: "CONNECT_ERROR", nsp: "/", data: { message: "Not authorized" } }],
    ["refused in a namespace", {
      type: "CONNECT_ERROR", nsp: "/admin", data: { data: { code: 1 }, message: "Invalid namespace" },
    }],
    ["refused with a text", { type: "CONNECT_ERROR", nsp: "/", data: "no" }],
  ];
  socketIo("socket_io_5", "sio4", specific, {
    encode: (packet) => new sio.Encoder().encode({ ...packet, type: sio.PacketType[packet.type] }),
    takes: (text) => {
      try {
        new sio.Decoder().add(text);
        return true;
      } catch {
        return false;
      }
    },
  });
}

function socketIo4() {
  const sio = parsers("sio3");
  const hasBinary = (data) =>
    Buffer.isBuffer(data) || (data !== null && typeof data === "object" && Object.values(data).some(hasBinary));
  const specific = [
    ["connected", { type: "CONNECT", nsp: "/" }],
    ["connect with a query", { type: "CONNECT", nsp: "/admin?token=1&x=%C3%BC" }],
    ["error", { type: "ERROR", nsp: "/", data: "Not authorized" }],
    ["error in a namespace", { type: "ERROR", nsp: "/admin", data: "Invalid namespace" }],
    ["error with an object", { type: "ERROR", nsp: "/", data: { code: 1 } }],
    ["error with an array", { type: "ERROR", nsp: "/", data: [1] }],
  ];
  socketIo("socket_io_4", "sio3", specific, {
    encode: (packet) => {
      const type = hasBinary(packet.data) ? `BINARY_${packet.type}` : packet.type;
      let out;
      new sio.Encoder().encode({ ...packet, type: sio[type] }, (data) => (out = data));
      return out;
    },
    takes: (text) => {
      let isTaken = true;
      const decoder = new sio.Decoder();
      decoder.on("decoded", ({ data }) => {
        isTaken = typeof data !== "string" || !data.startsWith("parser error");
      });
      try {
        decoder.add(text);
        return isTaken;
      } catch {
        return false;
      }
    },
  });
}

engineIo4();
engineIo3();
socketIo5();
socketIo4();
