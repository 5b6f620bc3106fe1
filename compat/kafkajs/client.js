// kafkajs: produce with each acks, metadata and offsets; the admin client; a transactional producer.
const { Kafka, CompressionTypes, ConfigResourceTypes, logLevel, Partitioners } = require("kafkajs");

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

async function expectError(type, promise) {
  try {
    await promise;
  } catch (error) {
    const cause = error.errors ? error.errors[0] : error;
    expect(cause.type === type, `${cause.type}, not ${type}`);
    return;
  }
  throw new Error("no " + type);
}

const create = (admin, topic) => admin.createTopics({ topics: [topic], waitForLeaders: true });

const partitionsOf = async (admin, topic) => (await admin.fetchTopicMetadata({ topics: [topic] })).topics[0].partitions;

async function adminCreate(admin) {
  const configEntries = [{ name: "retention.ms", value: "1234567" }];
  expect(await create(admin, { topic: "admin-made", numPartitions: 4, configEntries }), "it is said to be there");
  expect(await create(admin, { topic: "admin-default" }), "it is said to be there");
  expect(!(await create(admin, { topic: "admin-made" })), "it is made twice");
  expect((await partitionsOf(admin, "admin-made")).length === 4, "partitions");
  expect((await partitionsOf(admin, "admin-default")).length === 3, "default partitions");
  expect((await admin.listTopics()).includes("admin-made"), "list of topics");
  await expectError("INVALID_TOPIC_EXCEPTION", create(admin, { topic: "a b" }));
  await expectError("INVALID_REPLICATION_FACTOR", create(admin, { topic: "admin-bad", replicationFactor: 3 }));
}

async function adminDescribeConfigs(admin) {
  const resources = [{ type: ConfigResourceTypes.TOPIC, name: "admin-made", configNames: ["retention.ms", "flush.ms"] }];
  const found = await admin.describeConfigs({ includeSynonyms: false, resources });
  const entries = found.resources[0].configEntries;
  expect(entries.length === 2, JSON.stringify(entries));
  expect(entries.find((one) => one.configName === "retention.ms").configValue === "1234567", JSON.stringify(entries));
}

// AlterConfigs: what is sent is all that the topic has then.
async function adminAlterConfigs(admin) {
  const alter = (configEntries, validateOnly) =>
    admin.alterConfigs({ validateOnly, resources: [{ type: ConfigResourceTypes.TOPIC, name: "admin-made", configEntries }] });
  const found = async () => {
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: "admin-made", configNames: ["retention.ms", "segment.ms"] }];
    const { configEntries } = (await admin.describeConfigs({ includeSynonyms: false, resources })).resources[0];
    return configEntries.map((one) => one.configName + "=" + one.configValue).sort().join();
  };
  await alter([{ name: "segment.ms", value: "7654321" }], true);
  expect((await found()) === "retention.ms=1234567,segment.ms=604800000", await found());
  await alter([{ name: "segment.ms", value: "7654321" }], false);
  expect((await found()) === "retention.ms=604800000,segment.ms=7654321", await found());
  await expectError("INVALID_CONFIG", alter([{ name: "segment.ms", value: "soon" }], false));
  await alter([{ name: "retention.ms", value: "1234567" }], false);
  expect((await found()) === "retention.ms=1234567,segment.ms=604800000", await found());
}

async function adminPartitions(admin) {
  await admin.createPartitions({ topicPartitions: [{ topic: "admin-made", count: 6 }] });
  expect((await partitionsOf(admin, "admin-made")).length === 6, "partitions");
  await expectError(
    "INVALID_PARTITIONS",
    admin.createPartitions({ topicPartitions: [{ topic: "admin-made", count: 2 }] }),
  );
}

// The same name at once.
async function adminRecreate(admin) {
  for (let i = 0; i < 5; i++) {
    await create(admin, { topic: "admin-again", numPartitions: 2 });
    const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner, idempotent: true });
    await producer.connect();
    const answers = await producer.send({ topic: "admin-again", messages: [{ partition: 1, value: "v" + i }] });
    await producer.disconnect();
    expect(answers[0].baseOffset === "0", "offset in topic " + i + ": " + JSON.stringify(answers));
    await admin.deleteTopics({ topics: ["admin-again"] });
  }
  expect(!(await admin.listTopics()).includes("admin-again"), "it is still listed");
}

async function adminCluster(admin) {
  const { brokers, controller, clusterId } = await admin.describeCluster();
  expect(clusterId.length === 22 && brokers.length === 1 && controller === brokers[0].nodeId, JSON.stringify(brokers));
  expect(brokers[0].host + ":" + brokers[0].port === process.argv[2], "address");
}

// Until transactions are served: an error that says so, at once.
async function transactionalRefused() {
  const start = Date.now();
  const producer = kafka.producer({
    createPartitioner: Partitioners.DefaultPartitioner,
    idempotent: true,
    maxInFlightRequests: 1,
    transactionalId: "one",
    retry: { retries: 3 },
  });
  await producer.connect();
  let refused;
  try {
    await producer.transaction();
  } catch (error) {
    refused = error;
  } finally {
    await producer.disconnect();
  }
  console.error("transaction() after " + (Date.now() - start) + " ms: " + refused);
  expect(refused, "it was accepted");
  expect(Date.now() - start < 10000, "refused only after " + (Date.now() - start) + " ms");
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
  await check("admin-cluster", () => withAdmin(adminCluster));
  await check("admin-create", () => withAdmin(adminCreate));
  await check("admin-describe-configs", () => withAdmin(adminDescribeConfigs));
  await check("admin-alter-configs", () => withAdmin(adminAlterConfigs));
  await check("admin-partitions", () => withAdmin(adminPartitions));
  await check("admin-recreate", () => withAdmin(adminRecreate));
  await check("transactional-refused", transactionalRefused);
}

main();
