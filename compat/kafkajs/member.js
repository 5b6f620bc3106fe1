// A member of a group for compat/groups.sh, which says what it prints; and what the admin client tells of the group.
const fs = require("fs");
const { Kafka, logLevel } = require("kafkajs");

const [bootstrap, mode, ...rest] = process.argv.slice(2);
const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { maxRetryTime: 1000 } });

async function member(style, group, topic, name) {
  const say = (...words) => fs.writeSync(1, [name, ...words].join(" ") + "\n");
  let owned = [];
  let ended = false;
  const giveUp = () => {
    if (owned.length) say("revoke", ...owned);
    owned = [];
  };
  const consumer = kafka.consumer({
    groupId: group,
    sessionTimeout: Number(process.env.GROUP_SESSION_MS),
    heartbeatInterval: Number(process.env.GROUP_HEARTBEAT_MS),
    maxWaitTimeInMs: 200, // it sends heartbeats between fetches alone
    retry: { maxRetryTime: 1000, restartOnFailure: async () => true },
  });
  consumer.on(consumer.events.REBALANCING, giveUp);
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    giveUp();
    owned = payload.memberAssignment[topic] || [];
    say("assign", "-", ...owned);
  });
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    giveUp(); // it leaves the group and begins anew
    say("note", String(payload.error).replace(/\n/g, " "));
  });
  say("pid", process.pid);
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
      if (ended || !isRunning() || isStale() || !owned.includes(batch.partition)) return;
      for (const message of batch.messages) {
        say("read", batch.partition, message.offset, message.value);
        resolveOffset(message.offset);
      }
      const offset = String(BigInt(batch.lastOffset()) + 1n);
      try {
        await consumer.commitOffsets([{ topic, partition: batch.partition, offset }]);
        say("commit", batch.partition, offset);
      } catch (error) {
        say("note", "not committed:", String(error).replace(/\n/g, " "));
        throw error;
      }
      await heartbeat();
    },
  });
  process.stdin.resume();
  process.stdin.on("end", async () => {
    ended = true;
    giveUp();
    await consumer.disconnect();
    process.exit(0);
  });
}

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

async function refused(type, promise) {
  const error = await promise.then(() => null, (e) => e);
  const found = error && (error.groups ? error.groups[0].error.type : error.type);
  expect(found === type, `${found}, not ${type}`);
}

async function groupAdmin(when, style, group, topic, count) {
  const ends = new Map(fs.readFileSync(0, "utf8").trim().split("\n").map((line) => line.split(" ").map(Number)));
  const { AssignerProtocol } = require("kafkajs");
  const admin = kafka.admin();
  const committed = async () => (await admin.fetchOffsets({ groupId: group, topics: [topic] }))[0].partitions;
  const state = async () => (await admin.describeGroups([group])).groups[0];
  const listed = async () => (await admin.listGroups()).groups.some((one) => one.groupId === group);
  await admin.connect();
  if (when === "live") {
    await check(style + "-admin-live", async () => {
      const found = await state();
      const held = found.members.flatMap(
        (one) => AssignerProtocol.MemberAssignment.decode(one.memberAssignment).assignment[topic],
      );
      expect(found.state === "Stable" && found.members.length === Number(count), found.state);
      expect(held.sort().join() === "0,1,2,3,4,5", "members have " + held);
      expect(await listed(), "it is not listed");
      await refused("NON_EMPTY_GROUP", admin.deleteGroups([group]));
    });
  } else {
    await check(style + "-admin-offsets", async () => {
      const found = await committed();
      expect(ends.size === 6 && found.length === 6, found.length + " offsets");
      found.forEach((one) => expect(Number(one.offset) === ends.get(one.partition), JSON.stringify(one)));
      expect((await state()).state === "Empty", "state");
    });
    await check(style + "-admin-reset", async () => {
      await admin.setOffsets({ groupId: group, topic, partitions: [{ partition: 3, offset: "7" }] });
      expect((await committed()).find((one) => one.partition === 3).offset === "7", "it is not set");
    });
    await check(style + "-admin-delete", async () => {
      await admin.deleteGroups([group]);
      expect(!(await listed()), "it is still listed");
      await refused("GROUP_ID_NOT_FOUND", admin.deleteGroups([group]));
    });
  }
  await admin.disconnect();
}

({ member, "group-admin": groupAdmin })[mode](...rest);
