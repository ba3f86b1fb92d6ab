#include "store/authorizer.h"

#include "store/store_testing.h"

namespace perdure::store {
namespace {

using testing::message_of;
using testing::query;

constexpr char kAuth[] = "not authorized: SQLITE_AUTH";

class AuthorizerTest : public ::testing::Test {
 protected:
  AuthorizerTest() {
    database_.execute(
        "CREATE TABLE _cf_KV(key TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID; CREATE TABLE t(a, b);"
        "CREATE TABLE \"\"(a); CREATE TABLE \"a\"\"b\"(a); CREATE TABLE \"a RENAME TO b\"(a);"
        "INSERT INTO t VALUES (1, 2)");
  }
  // What a user gets: the error, or "ok".
  std::string user(std::string_view sql) {
    try {
      query(database_, sql, Access::kUser);
    } catch (const Error& error) {
      return error.what();
    }
    return "ok";
  }

  SimulatedFileSystem disk_;
  std::unique_ptr<Store> store_ = Store::open(testing::simulated_options(disk_));
  Database database_{*store_, store_->file(20, "a.sqlite")};
};

TEST_F(AuthorizerTest, RefusesTransactionStatements) {
  for (const auto* sql : {"BEGIN", "BEGIN IMMEDIATE", "COMMIT", "END", "ROLLBACK", "SAVEPOINT a",
                          "RELEASE a", "ROLLBACK TO a"}) {
    EXPECT_EQ(user(sql), Authorizer::kTransactionMessage) << sql;
  }
}

TEST_F(AuthorizerTest, Refuses) {
  for (const auto* sql : {
           "ATTACH ':memory:' AS x",
           "DETACH main",
           "CREATE TEMP TABLE x(a)",
           "CREATE TABLE temp.x(a)",
           "CREATE TEMP TABLE x AS SELECT 1",
           "CREATE TEMP VIEW x AS SELECT 1",
           "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
           "CREATE TABLE _cf_x(a)",
           "CREATE TABLE _CF_x(a)",
           "CREATE TABLE \"_cf_x\"(a)",
           "CREATE VIRTUAL TABLE _cf_x USING fts5(a)",
           "CREATE VIEW _cf_x AS SELECT 1",
           "CREATE INDEX _cf_x ON t(a)",
           "CREATE TRIGGER _cf_x AFTER INSERT ON t BEGIN SELECT 1; END",
           "ALTER TABLE t RENAME TO _cf_x",
           "ALTER TABLE t RENAME TO \"_cf_\"\"x\"",
           "ALTER TABLE \"\" RENAME TO _cf_x",
           "ALTER TABLE \"a\"\"b\" RENAME TO _CF_x",
           "ALTER TABLE \"a RENAME TO b\" RENAME TO _cf_x",
           "ALTER TABLE t /* RENAME TO a */ RENAME -- x\n TO \"_CF_x\"",
           "ALTER TABLE _cf_KV RENAME TO x",
           "ALTER TABLE _cf_KV ADD COLUMN x",
           "DROP TABLE _cf_KV",
           "CREATE INDEX x ON _cf_KV(value)",
           "CREATE TRIGGER x AFTER INSERT ON _cf_KV BEGIN SELECT 1; END",
           "INSERT INTO _cf_KV VALUES (1, 2)",
           "DELETE FROM _cf_KV",
           "CREATE VIRTUAL TABLE x USING dbstat",
           "CREATE VIRTUAL TABLE x USING fts4(a)",
           "PRAGMA journal_mode = DELETE",
           "PRAGMA synchronous",
           "PRAGMA locking_mode = NORMAL",
           "PRAGMA cache_size = 1",
           "PRAGMA writable_schema = 1",
           "PRAGMA user_version",
           "PRAGMA page_count",
           "PRAGMA max_page_count = 1",
           "PRAGMA integrity_check",
           "PRAGMA function_list",
           "PRAGMA database_list",
           "PRAGMA temp_store = FILE",
           "PRAGMA temp.table_list",
           "PRAGMA table_info(_cf_KV)",
           "PRAGMA index_list('_CF_KV')",
           "PRAGMA unknown",
           "PRAGMA data_version = 1",
           "PRAGMA page_size = 512",
           "PRAGMA foreign_keys = 2",
           "PRAGMA recursive_triggers = t",
           "PRAGMA optimize(t)",
           "PRAGMA optimize = 1.5",
           "PRAGMA table_info",
           "PRAGMA index_list",
           "SELECT * FROM pragma_table_info",
           "SELECT * FROM pragma_database_list",
       }) {
    EXPECT_EQ(user(sql), kAuth) << sql;
  }
  EXPECT_EQ(query(database_, "SELECT name FROM sqlite_schema WHERE type = 'table'"),
            "_cf_KV;t;;a\"b;a RENAME TO b");
}

TEST_F(AuthorizerTest, ARefusedRenameLeavesTheRest) {
  database_.begin();
  EXPECT_EQ(user("INSERT INTO t VALUES (3, 4)"), "ok");
  EXPECT_EQ(user("ALTER TABLE t RENAME TO _cf_x"), kAuth);
  EXPECT_EQ(user("CREATE VIRTUAL TABLE f USING fts5(a)"), "ok");
  // The shadow tables of the new name would be reserved ones.
  EXPECT_NE(user("ALTER TABLE f RENAME TO _cf"), "ok");
  EXPECT_EQ(user("ALTER TABLE t RENAME TO u"), "ok");
  EXPECT_EQ(user("PRAGMA case_sensitive_like = ON"), "ok");
  EXPECT_EQ(user("ALTER TABLE u RENAME TO _CF_x"), kAuth);
  EXPECT_EQ(user("ALTER TABLE u RENAME TO nope.x"),
            "near \".\": syntax error at offset 28: SQLITE_ERROR");
  EXPECT_EQ(user("ALTER TABLE u DROP COLUMN nope"),
            "no such column: \"nope\" at offset 26: SQLITE_ERROR");
  EXPECT_EQ(user("EXPLAIN ALTER TABLE u RENAME TO _cf_x"), "ok");
  EXPECT_TRUE(database_.in_transaction());
  database_.commit();
  EXPECT_EQ(query(database_, "SELECT a FROM u"), "1;3");
  EXPECT_EQ(query(database_, "SELECT name FROM sqlite_schema WHERE name LIKE '_cf%'"), "_cf_KV");
}

TEST_F(AuthorizerTest, RefusesVacuum) {
  for (const auto* sql : {"VACUUM", "VACUUM INTO '/tmp/stolen'"}) {
    EXPECT_EQ(user(sql), "authorization denied: SQLITE_AUTH");
    database_.begin();
    EXPECT_EQ(user(sql), "cannot VACUUM from within a transaction: SQLITE_ERROR");
    database_.rollback();
  }
}

TEST_F(AuthorizerTest, RefusesReadingInternalTables) {
  EXPECT_NE(user("SELECT * FROM _cf_KV"), "ok");
  EXPECT_NE(user("SELECT count(*) FROM _cf_KV"), "ok");
  EXPECT_NE(user("SELECT 1 FROM t WHERE EXISTS (SELECT 1 FROM _cf_KV)"), "ok");
  EXPECT_NE(user("UPDATE _cf_KV SET value = 1"), "ok");
  EXPECT_NE(user("INSERT INTO t SELECT key, value FROM _cf_KV"), "ok");
  EXPECT_EQ(user("CREATE VIEW v AS SELECT * FROM _cf_KV"), "ok");
  EXPECT_NE(user("SELECT * FROM v"), "ok");
  EXPECT_EQ(user("CREATE TRIGGER tr AFTER INSERT ON t BEGIN DELETE FROM _cf_KV; END"), "ok");
  EXPECT_NE(user("INSERT INTO t VALUES (1, 2)"), "ok");
  EXPECT_NE(user("UPDATE sqlite_master SET sql = ''"), "ok");
}

TEST_F(AuthorizerTest, RefusesFunctionsOfTheEngine) {
  for (const auto* name : {"sqlite_version", "sqlite_source_id", "fts5_source_id"}) {
    EXPECT_EQ(
        user("SELECT " + std::string(name) + "()"),
        "not authorized to use function: " + std::string(name) + " at offset 7: SQLITE_ERROR");
  }
  EXPECT_EQ(user("SELECT load_extension('x')"), "not authorized: SQLITE_ERROR");
  EXPECT_EQ(user("SELECT load_extension('x', 'y')"), "not authorized: SQLITE_ERROR");
  EXPECT_EQ(user("SELECT power(1, 2)"),
            "not authorized to use function: power at offset 7: SQLITE_ERROR");
  EXPECT_NE(user("SELECT sqlite_compileoption_get(1)"), "ok");
}

TEST_F(AuthorizerTest, Allows) {
  for (const auto* sql : {
           "SELECT \"quoted text\"",
           "CREATE TABLE x(_cf_a)",
           "ALTER TABLE x RENAME TO y",
           "ALTER TABLE y RENAME COLUMN _cf_a TO _cf_b",
           "ALTER TABLE y ADD COLUMN z",
           "DROP TABLE y",
           "CREATE INDEX i ON t(a)",
           "REINDEX",
           "ANALYZE",
           "CREATE VIRTUAL TABLE f USING fts5(a)",
           "CREATE VIRTUAL TABLE fv USING fts5vocab('f', 'row')",
           "INSERT INTO f VALUES ('hello world')",
           "SELECT highlight(f, 0, '<', '>') FROM f WHERE f MATCH 'hello'",
           "DROP TABLE f",
           "CREATE VIRTUAL TABLE r USING rtree(id, a, b)",
           "INSERT INTO r VALUES (1, 2, 3)",
           "SELECT * FROM json_each('[1]')",
           "SELECT sqrt(2), json_extract('{\"a\":1}', '$.a'), '{}' ->> '$'",
           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9) "
           "SELECT sum(i) OVER () FROM n",
           "INSERT INTO t VALUES (5, 6) RETURNING *",
           "EXPLAIN QUERY PLAN SELECT * FROM t",
           "SELECT changes(), last_insert_rowid()",
           "SELECT name FROM sqlite_master",
           "PRAGMA table_info(t)",
           "PRAGMA main.table_info(t)",
           "PRAGMA table_list",
           "PRAGMA quick_check",
           "PRAGMA foreign_keys = ON",
           "PRAGMA defer_foreign_keys = ON",
           "PRAGMA optimize",
           "PRAGMA optimize(-1)",
           "PRAGMA optimize = 0x10002",
           "PRAGMA recursive_triggers = 'yes'",
           "PRAGMA recursive_triggers = OFF",
           "PRAGMA data_version",
           "PRAGMA page_size",
           "SELECT * FROM pragma_table_xinfo('t')",
       }) {
    EXPECT_EQ(user(sql), "ok") << sql;
  }
}

TEST_F(AuthorizerTest, IgnoresWhatATransactionIgnores) {
  EXPECT_EQ(user("PRAGMA foreign_keys = OFF"), "ok");
  EXPECT_EQ(query(database_, "PRAGMA foreign_keys"), "1");
}

TEST_F(AuthorizerTest, AnEnginesStatementSurvivesASchemaChange) {
  Statement statement = database_.prepare("SELECT count(*) FROM _cf_KV", Access::kEngine);
  EXPECT_EQ(database_.step(statement), SQLITE_ROW);
  sqlite3_reset(statement.handle());
  EXPECT_EQ(user("CREATE TABLE x(a)"), "ok");
  EXPECT_EQ(database_.step(statement), SQLITE_ROW);
}

TEST_F(AuthorizerTest, HoldsTheLimits) {
  const auto repeated = [](std::string_view text, int count, std::string_view between) {
    std::string out(text);
    for (int i = 1; i < count; ++i) out += std::string(between) + std::string(text);
    return out;
  };
  EXPECT_EQ(user("SELECT " + repeated("1", 100, ",")), "ok");
  EXPECT_EQ(user("SELECT " + repeated("1", 101, ",")),
            "too many columns in result set: SQLITE_ERROR");
  EXPECT_EQ(user("SELECT 'x' LIKE '" + std::string(51, 'a') + "'"),
            "LIKE or GLOB pattern too complex: SQLITE_ERROR");
  EXPECT_EQ(user("SELECT " + repeated("1", 101, "+")),
            "Expression tree is too large (maximum depth 100): SQLITE_ERROR");
  EXPECT_EQ(user("SELECT " + repeated("1", 6, " UNION ALL SELECT ")),
            "too many terms in compound SELECT: SQLITE_ERROR");
  EXPECT_EQ(user("SELECT '" + std::string(100'000, 'a') + "'"),
            "statement too long: SQLITE_TOOBIG");
  EXPECT_EQ(user("SELECT length(zeroblob(3000000) || 'a')"),
            "string or blob too big: SQLITE_TOOBIG");
}

TEST_F(AuthorizerTest, WordsErrorsAsWorkerdDoes) {
  EXPECT_EQ(user("SELECT * FROM x"), "no such table: x: SQLITE_ERROR");
  EXPECT_EQ(user("SELEC 1"), "near \"SELEC\": syntax error at offset 0: SQLITE_ERROR");
  EXPECT_EQ(user("SELECT nope FROM t"), "no such column: nope at offset 7: SQLITE_ERROR");
  // An error without an offset has none, whatever came before it.
  EXPECT_EQ(user("SELECT 1 --" + std::string(100'000, 'x')), "statement too long: SQLITE_TOOBIG");
  EXPECT_EQ(user("CREATE UNIQUE INDEX u ON t(a)"), "ok");
  EXPECT_EQ(
      user("INSERT INTO t VALUES (1, 2)"),
      "UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_UNIQUE)");
  EXPECT_EQ(user("CREATE TABLE k(a PRIMARY KEY, b CHECK (b > 0) NOT NULL)"), "ok");
  EXPECT_EQ(
      user("INSERT INTO k VALUES (1, 0)"),
      "CHECK constraint failed: b > 0: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_CHECK)");
  EXPECT_EQ(
      user("INSERT INTO k VALUES (1, NULL)"),
      "NOT NULL constraint failed: k.b: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_NOTNULL)");
}

}  // namespace
}  // namespace perdure::store
