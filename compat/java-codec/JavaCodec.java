import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.Struct;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.protocol.types.Type;
import org.apache.kafka.common.record.MemoryRecords;
import org.apache.kafka.common.record.SimpleRecord;

/**
 * Writes messages as Apache Kafka's own generated classes serialize them: API, side, version, bytes and the values
 * in the order of the fields. The values are drawn from a fixed seed, so every run writes the same file.
 */
public final class JavaCodec {
    private static final int DRAWS = 2;
    private static final HexFormat HEX = HexFormat.of();

    private final Random random = new Random(20);
    private boolean nulls; /* whether this draw uses null and empty where it may */

    /** A struct that may be null: a byte says whether it is there. Kafka's schemas leave that byte out. */
    private static final class NullableStruct extends Type {
        private final Schema schema;

        NullableStruct(Schema schema) {
            this.schema = schema;
        }

        @Override
        public void write(ByteBuffer buffer, Object value) {
            buffer.put((byte) (value == null ? -1 : 1));
            if (value != null) {
                schema.write(buffer, value);
            }
        }

        @Override
        public Object read(ByteBuffer buffer) {
            throw new UnsupportedOperationException("only written");
        }

        @Override
        public Object validate(Object value) {
            return value == null ? null : schema.validate(value);
        }

        @Override
        public int sizeOf(Object value) {
            return 1 + (value == null ? 0 : schema.sizeOf(value));
        }

        @Override
        public boolean isNullable() {
            return true;
        }
    }

    private Object valueOf(Type type) {
        if (type instanceof NullableStruct) {
            return nulls && random.nextBoolean() ? null : structOf(((NullableStruct) type).schema);
        }
        if (type instanceof Schema) {
            return structOf((Schema) type);
        }
        if (type instanceof TaggedFields) {
            Map<Integer, Object> values = new TreeMap<>();
            ((TaggedFields) type).fields().forEach((tag, field) -> values.put(tag, valueOf(field.type)));
            return values;
        }
        if (nulls && type.isNullable() && random.nextBoolean()) {
            return null;
        }
        if (type.isArray()) {
            Type element = type.arrayElementType().get();
            Object[] values = new Object[nulls ? random.nextInt(2) : 1 + random.nextInt(2)];
            Arrays.setAll(values, i -> valueOf(element));
            return values;
        }
        return plainValueOf(type);
    }

    private Object plainValueOf(Type type) {
        switch (type.toString()) {
            case "BOOLEAN": return random.nextBoolean();
            case "INT8": return (byte) random.nextInt();
            case "INT16": return (short) random.nextInt();
            case "UINT16": return random.nextInt(65536);
            case "INT32": return random.nextInt();
            case "UINT32": return random.nextInt() & 0xffffffffL;
            case "INT64": return random.nextLong();
            case "FLOAT64": return random.nextDouble();
            case "UUID": return new Uuid(random.nextLong(), random.nextLong());
            case "STRING": case "COMPACT_STRING": case "NULLABLE_STRING": case "COMPACT_NULLABLE_STRING":
                return nulls && random.nextBoolean() ? "" : letters(1 + random.nextInt(nulls ? 200 : 5));
            case "BYTES": case "COMPACT_BYTES": case "NULLABLE_BYTES": case "COMPACT_NULLABLE_BYTES":
                return ByteBuffer.wrap(letters(random.nextInt(9)).getBytes());
            case "RECORDS": case "COMPACT_RECORDS":
                return MemoryRecords.withRecords(Compression.NONE, new SimpleRecord(random.nextLong() >>> 20,
                        letters(3).getBytes(), letters(5).getBytes()));
            default: throw new IllegalStateException("a type that nobody draws: " + type);
        }
    }

    private String letters(int count) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < count; i++) {
            text.append((char) ('A' + random.nextInt(26)));
        }
        return text.toString();
    }

    private Struct structOf(Schema schema) {
        Struct struct = new Struct(schema);
        for (var field : schema.fields()) {
            struct.set(field, valueOf(field.def.type));
        }
        return struct;
    }

    /** The fields of a schema by name, the tagged ones too. */
    private static Map<String, Type> typesOf(Schema schema) {
        Map<String, Type> types = new TreeMap<>();
        for (var field : schema.fields()) {
            if (field.def.type instanceof TaggedFields) {
                ((TaggedFields) field.def.type).fields().values().forEach(tagged -> types.put(tagged.name, tagged.type));
            } else {
                types.put(field.def.name, field.def.type);
            }
        }
        return types;
    }

    /** The values of a message in the order in which its class, so its definition, declares them. */
    private static void list(Object message, Schema schema, List<String> out) throws ReflectiveOperationException {
        Map<String, Type> types = typesOf(schema);
        for (Field field : message.getClass().getDeclaredFields()) {
            Type type = types.get(snakeCase(field.getName()));
            if (type == null || java.lang.reflect.Modifier.isStatic(field.getModifiers())) {
                continue;
            }
            Method getter = message.getClass().getMethod(field.getName());
            listValue(getter.invoke(message), type, out);
        }
    }

    private static void listValue(Object value, Type type, List<String> out) throws ReflectiveOperationException {
        if (value == null) {
            out.add("null");
        } else if (type.isArray()) {
            for (Object element : (Collection<?>) value) {
                listValue(element, type.arrayElementType().get(), out);
            }
        } else if (type instanceof Schema) {
            list(value, (Schema) type, out);
        } else if (type instanceof NullableStruct) {
            list(value, ((NullableStruct) type).schema, out);
        } else if (value instanceof Uuid) {
            Uuid uuid = (Uuid) value;
            out.add(HEX.formatHex(ByteBuffer.allocate(16).putLong(uuid.getMostSignificantBits())
                    .putLong(uuid.getLeastSignificantBits()).array()));
        } else if (value instanceof byte[]) {
            out.add(HEX.formatHex((byte[]) value));
        } else if (value instanceof MemoryRecords) {
            out.add(HEX.formatHex(bytesOf(((MemoryRecords) value).buffer())));
        } else {
            out.add(value.toString());
        }
    }

    private static String snakeCase(String name) {
        return name.replaceAll("([A-Z])", "_$1").toLowerCase();
    }

    private static byte[] bytesOf(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return bytes;
    }

    private void line(ApiKeys api, String side, ApiMessage empty, Schema schema, short version) throws Exception {
        Struct struct = structOf(schema);
        ByteBuffer drawn = ByteBuffer.allocate(struct.sizeOf());
        struct.writeTo(drawn);
        drawn.flip();
        empty.read(new ByteBufferAccessor(drawn), version);
        byte[] bytes = bytesOf(MessageUtil.toByteBufferAccessor(empty, version).buffer());
        List<String> values = new ArrayList<>();
        list(empty, schema, values);
        String listed = values.isEmpty() ? "-" : String.join(",", values);
        System.out.println(String.join(" ", api.name, side, Short.toString(version),
                bytes.length == 0 ? "-" : HEX.formatHex(bytes), listed.isEmpty() ? "-" : listed));
    }

    /** A struct of a message is nullable when a new message has none. */
    private static Schema schemaOf(ApiMessage message, short version) throws ReflectiveOperationException {
        Schema schema = ((Schema[]) message.getClass().getField("SCHEMAS").get(null))[version];
        var fields = new org.apache.kafka.common.protocol.types.Field[schema.numFields()];
        for (int i = 0; i < fields.length; i++) {
            fields[i] = schema.get(i).def;
            if (fields[i].type instanceof Schema && fieldOf(message, fields[i].name) == null) {
                fields[i] = new org.apache.kafka.common.protocol.types.Field(fields[i].name,
                        new NullableStruct((Schema) fields[i].type));
            }
        }
        return new Schema(fields);
    }

    private static Object fieldOf(ApiMessage message, String name) throws ReflectiveOperationException {
        for (Field field : message.getClass().getDeclaredFields()) {
            if (snakeCase(field.getName()).equals(name)) {
                return message.getClass().getMethod(field.getName()).invoke(message);
            }
        }
        throw new NoSuchFieldException(name);
    }

    private void api(ApiKeys api) throws Exception {
        ApiMessageType type = api.messageType;
        for (short version = type.lowestSupportedVersion(); version <= type.highestSupportedVersion(true); version++) {
            for (int draw = 0; draw < DRAWS; draw++) {
                nulls = draw > 0;
                line(api, "request", type.newRequest(), schemaOf(type.newRequest(), version), version);
                line(api, "response", type.newResponse(), schemaOf(type.newResponse(), version), version);
            }
        }
    }

    /** Arguments: the names of the APIs. */
    public static void main(String[] arguments) throws Exception {
        System.out.println("# Messages as Apache Kafka's own generated classes serialize them (kafka-clients "
                + org.apache.kafka.common.utils.AppInfoParser.getVersion() + "), written by");
        System.out.println("# compat/java-codec: API, side, version, bytes, and the values in the order of the fields"
                + " (text as it is, bytes and UUIDs in hex).");
        for (String name : arguments) {
            new JavaCodec().api(Arrays.stream(ApiKeys.values()).filter(key -> key.name.equals(name)).findFirst().get());
        }
    }
}
