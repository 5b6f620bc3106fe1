// kafkajs: produce with each acks, metadata and offsets.
const { Kafka, CompressionTypes, logLevel, Partitioners } = require("kafkajs");

const RECORDS = 1000;
const BASE_MS = 1000000000000;
const kafka = new Kafka({ brokers: [process.argv[2]], logLevel: logLevel.NOTHING, retry: { retries: 5 } });

async function check(name, body) {
  try {
    await body();
    console.log("pass " + name);
  } catch (error) {
    console.log("fail " + name + " " + String(error).replace(/\n/g, " "));
  }
}

function expect(holds, what) {
  if (!holds) throw new Error(what);
}

async function produceSeries(topic, compression, acks) {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: false });
  const messages = [...Array(RECORDS).keys()].map((i) => ({
    partition: 0,
    key: "key-" + (i % 7),
    value: "value-" + i,
    timestamp: String(BASE_MS + i),
    headers: { h: String(i) },
  }));
  await producer.connect();
  try {
    const answers = await producer.send({ topic, acks, compression, messages });
    if (acks !== 0) expect(answers[0].errorCode === 0 && answers[0].baseOffset === "0", JSON.stringify(answers));
  } finally {
    await producer.disconnect();
  }
}

async function withAdmin(body) {
  const admin = kafka.admin();
  await admin.connect();
  try {
    await body(admin);
  } finally {
    await admin.disconnect();
  }
}

async function main() {
  await check("produce-none", () => produceSeries("kafkajs-none", CompressionTypes.None, -1));
  await check("produce-gzip", () => produceSeries("kafkajs-gzip", CompressionTypes.GZIP, -1));
  await check("acks-1", () => produceSeries("kafkajs-acks-1", CompressionTypes.None, 1));
  await check("acks-0", () => produceSeries("kafkajs-acks-0", CompressionTypes.None, 0));
  await check("offsets", () =>
    withAdmin(async (admin) => {
      const offsets = await admin.fetchTopicOffsets("kafkajs-none");
      const first = offsets.find((one) => one.partition === 0);
      expect(offsets.length === 3 && first.low === "0" && first.high === String(RECORDS), JSON.stringify(offsets));
    }));
  await check("offsets-by-time", () =>
    withAdmin(async (admin) => {
      const offsets = await admin.fetchTopicOffsetsByTimestamp("kafkajs-none", BASE_MS + 500);
      expect(offsets.find((one) => one.partition === 0).offset === "500", JSON.stringify(offsets));
    }));
  await check("metadata", () =>
    withAdmin(async (admin) => {
      const { topics } = await admin.fetchTopicMetadata({ topics: ["kafkajs-none"] });
      expect(topics[0].partitions.length === 3, JSON.stringify(topics));
      expect((await admin.listTopics()).includes("kafkajs-gzip"), "list of topics");
    }));
}

main();
