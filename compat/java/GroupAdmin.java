import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConsumerGroupDescription;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.ListGroupsOptions;
import org.apache.kafka.clients.admin.MemberDescription;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.GroupType;
import org.apache.kafka.common.KafkaFuture;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.GroupIdNotFoundException;
import org.apache.kafka.common.errors.GroupNotEmptyException;
import org.apache.kafka.common.errors.GroupSubscribedToTopicException;
import org.apache.kafka.common.errors.UnknownMemberIdException;

/** What Kafka's admin client tells of the groups of compat/groups.sh. */
public final class GroupAdmin {
    private final Admin admin;
    private final String group;
    private final TopicPartition first;
    private final GroupType type;

    private GroupAdmin(Admin admin, String style, String group, String topic) {
        this.admin = admin;
        this.group = group;
        this.first = new TopicPartition(topic, 0);
        this.type = style.equals("consumer") ? GroupType.CONSUMER : GroupType.CLASSIC;
    }

    private interface Check {
        void run() throws Exception;
    }

    private static void check(String name, Check body) {
        try {
            body.run();
            System.out.println("pass " + name);
        } catch (Throwable e) {
            System.out.println("fail " + name + " " + String.valueOf(e).replace('\n', ' '));
        }
    }

    private static void expect(boolean holds, Object what) {
        if (!holds) {
            throw new AssertionError(String.valueOf(what));
        }
    }

    private static void refused(Class<? extends Throwable> cause, KafkaFuture<?> future) throws Exception {
        try {
            future.get();
        } catch (ExecutionException e) {
            expect(cause.isInstance(e.getCause()), e.getCause());
            return;
        }
        expect(false, "no " + cause.getSimpleName());
    }

    private ConsumerGroupDescription described() throws Exception {
        return admin.describeConsumerGroups(List.of(group)).describedGroups().get(group).get();
    }

    private Map<Integer, Long> committed() throws Exception {
        Map<Integer, Long> found = new TreeMap<>();
        Map<TopicPartition, OffsetAndMetadata> offsets = admin.listConsumerGroupOffsets(group)
                .partitionsToOffsetAndMetadata(group).get();
        offsets.forEach((partition, offset) -> found.put(partition.partition(), offset.offset()));
        return found;
    }

    private boolean listed(Set<GroupState> states) throws Exception {
        Collection<GroupListing> found = admin.listGroups(new ListGroupsOptions().inGroupStates(states)
                .withTypes(Set.of(type))).all().get();
        return found.stream().anyMatch(one -> one.groupId().equals(group) && one.protocol().equals("consumer"));
    }

    private void live(int members) throws Exception {
        ConsumerGroupDescription found = described();
        TreeSet<Integer> held = new TreeSet<>();
        for (MemberDescription member : found.members()) {
            for (TopicPartition partition : member.assignment().topicPartitions()) {
                expect(held.add(partition.partition()), partition + " is held twice: " + found);
            }
            /* Told of consumer groups alone. */
            expect(member.memberEpoch().equals(found.groupEpoch()), found);
        }
        expect(found.groupState() == GroupState.STABLE && found.type() == type, found);
        expect(found.members().size() == members && held.size() == 6, found);
        expect(listed(Set.of(GroupState.STABLE)), "it is not listed");
    }

    private void busy() throws Exception {
        refused(GroupNotEmptyException.class, admin.deleteConsumerGroups(List.of(group)).all());
        refused(GroupSubscribedToTopicException.class,
                admin.deleteConsumerGroupOffsets(group, Set.of(first)).partitionResult(first));
        refused(UnknownMemberIdException.class,
                admin.alterConsumerGroupOffsets(group, Map.of(first, new OffsetAndMetadata(0))).all());
    }

    private void offsets(Map<Integer, Long> ends) throws Exception {
        expect(ends.size() == 6 && committed().equals(ends), committed() + " are committed, not " + ends);
        expect(described().groupState() == GroupState.EMPTY && listed(Set.of(GroupState.EMPTY)), described());
        admin.alterConsumerGroupOffsets(group, Map.of(first, new OffsetAndMetadata(7, "by hand"))).all().get();
        OffsetAndMetadata altered = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(first);
        expect(altered.offset() == 7 && altered.metadata().equals("by hand"), altered);
    }

    private void delete() throws Exception {
        admin.deleteConsumerGroupOffsets(group, Set.of(first)).all().get();
        expect(committed().size() == 5, committed());
        admin.deleteConsumerGroups(List.of(group)).all().get();
        expect(!listed(Set.of()), "it is still listed");
        refused(GroupIdNotFoundException.class, admin.deleteConsumerGroups(List.of(group)).all());
        refused(GroupIdNotFoundException.class, admin.describeConsumerGroups(List.of(group)).all());
    }

    private static Map<Integer, Long> ends() throws Exception {
        Map<Integer, Long> ends = new TreeMap<>();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            ends.put(Integer.valueOf(words[0]), Long.valueOf(words[1]));
        }
        return ends;
    }

    public static void main(String[] arguments) throws Exception {
        String style = arguments[2];
        Map<Integer, Long> ends = ends();
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", arguments[0]))) {
            GroupAdmin of = new GroupAdmin(admin, style, arguments[3], arguments[4]);
            if (arguments[1].equals("live")) {
                check(style + "-admin-live", () -> of.live(Integer.parseInt(arguments[5])));
                check(style + "-admin-busy", of::busy);
            } else {
                check(style + "-admin-offsets", () -> of.offsets(ends));
                check(style + "-admin-delete", of::delete);
            }
        }
    }
}
