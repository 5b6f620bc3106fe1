# java.sh: what the folders of Java clients share: Maven brings the jars that pom.xml pins, javac does the rest.

java_version() { # artifact
    sed -n "/<artifactId>$1</{n;s/.*<version>\(.*\)<.*/\1/p}" "$CLIENT_DIR/pom.xml"
}

java_fetch() {
    mvn -q -B -f "$CLIENT_DIR/pom.xml" dependency:copy-dependencies -DoutputDirectory="$CACHE/lib"
}

java_build() { # sources
    mkdir -p "$CACHE/classes" && javac -Xlint:all,-processing -Werror -cp "$CACHE/lib/*" -d "$CACHE/classes" "$@"
}

java_run() { # class, arguments
    java -Xmx512m -cp "$CACHE/classes:$CACHE/lib/*" "$@"
}
