#include "perdure/sql.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "native/native_testing.h"
#include "native/storage_state.h"

namespace perdure::native::testing {
namespace {

using ::testing::ElementsAre;

class SqlTest : public NativeTest {
 protected:
  SqlTest() : storage_(create("a")), sql_(storage_.sql()) {
    sql_.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b)");
  }

  std::vector<std::int64_t> numbers() {
    std::vector<std::int64_t> found;
    for (const Row row : sql_.exec("SELECT a FROM t ORDER BY a"))
      found.push_back(row.get<std::int64_t>(0));
    return found;
  }

  Storage storage_;
  Sql& sql_;
};

TEST_F(SqlTest, BindsStepsAndReadsEachType) {
  Statement insert = sql_.prepare("INSERT INTO t (b) VALUES (?)");
  EXPECT_TRUE(insert.writes());
  EXPECT_EQ(insert.parameter_count(), 1);
  const Blob blob = {std::byte{0}, std::byte{255}};
  EXPECT_EQ(insert.run(nullptr), 1);
  insert.run(std::int64_t{-5});
  insert.run(1.5);
  insert.run("t\xc3\xa4xt");
  insert.run(blob);
  insert.run(true);
  insert.run(std::optional<int>());
  insert.run(std::optional<std::string>("there"));
  insert.run(Value(2.5));
  insert.run(std::string_view());
  insert.run(Blob());
  std::vector<Value> values;
  std::vector<ColumnType> types;
  Statement select = sql_.prepare("SELECT b FROM t ORDER BY a");
  EXPECT_FALSE(select.writes());
  while (select.step()) {
    values.push_back(select.row().value(0));
    types.push_back(select.row().type(0));
  }
  EXPECT_THAT(values, ElementsAre(Value(), Value(std::int64_t{-5}), Value(1.5),
                                  Value("t\xc3\xa4xt"), Value(blob), Value(std::int64_t{1}),
                                  Value(), Value("there"), Value(2.5), Value(""), Value(Blob())));
  EXPECT_EQ(types[0], ColumnType::kNull);
  EXPECT_EQ(types[1], ColumnType::kInteger);
  EXPECT_EQ(types[2], ColumnType::kReal);
  EXPECT_EQ(types[3], ColumnType::kText);
  EXPECT_EQ(types[4], ColumnType::kBlob);
}

TEST_F(SqlTest, GetsTypedColumnsAndConvertsNothing) {
  auto cursor = sql_.exec("SELECT 300 AS i, 1.5 AS r, 'x' AS s, x'01' AS b, NULL AS n");
  ASSERT_TRUE(cursor.next());
  const Row row = cursor.row();
  EXPECT_EQ(row.get<int>("i"), 300);
  EXPECT_EQ(row.get<std::uint64_t>(0), 300u);
  EXPECT_EQ(row.get<double>("i"), 300);
  EXPECT_TRUE(row.get<bool>("i"));
  EXPECT_EQ(row.get<double>("r"), 1.5);
  EXPECT_EQ(row.get<std::string>("s"), "x");
  EXPECT_EQ(row.get<std::string_view>("s"), "x");
  EXPECT_EQ(row.get<Blob>("b").size(), 1u);
  EXPECT_EQ(row.get<std::span<const std::byte>>("b").size(), 1u);
  EXPECT_EQ(row.get<std::optional<int>>("n"), std::nullopt);
  EXPECT_EQ(row.get<std::optional<int>>("i"), 300);
  EXPECT_EQ(row.name(4), "n");
  EXPECT_EQ(row.size(), 5);
  const auto refused = [&](auto&& body) { return message_of(body); };
  EXPECT_EQ(refused([&] { static_cast<void>(row.get<std::int8_t>("i")); }),
            "The integer 300 does not fit into the type that was asked for.");
  EXPECT_EQ(refused([&] { static_cast<void>(row.get<int>("r")); }),
            "The column \"r\" is REAL, not INTEGER.");
  EXPECT_EQ(refused([&] { static_cast<void>(row.get<double>("s")); }),
            "The column \"s\" is TEXT, not REAL.");
  EXPECT_EQ(refused([&] { static_cast<void>(row.get<std::string>("n")); }),
            "The column \"n\" is NULL, not TEXT.");
  EXPECT_EQ(refused([&] { static_cast<void>(row.get<Blob>("s")); }),
            "The column \"s\" is TEXT, not BLOB.");
  EXPECT_EQ(refused([&] { static_cast<void>(row.get<int>("x")); }), "The row has no column \"x\".");
  EXPECT_EQ(refused([&] { static_cast<void>(row.get<int>(5)); }),
            "There is no column 5: the row has 5, counted from 0.");
  EXPECT_EQ(refused([&] { static_cast<void>(row.get<int>(-1)); }),
            "There is no column -1: the row has 5, counted from 0.");
  EXPECT_EQ(refused([&] { static_cast<void>(row.as<int, int>()); }),
            "The row has 5 columns, and 2 were asked for.");
}

TEST_F(SqlTest, TheOnlyRow) {
  sql_.exec("INSERT INTO t VALUES (1, 'one'), (2, 'two')");
  EXPECT_EQ(sql_.exec("SELECT count(*) FROM t").one<int>(), 2);
  const auto [a, b] =
      sql_.exec("SELECT a, b FROM t WHERE a = ?", 2).one<std::int64_t, std::string>();
  EXPECT_EQ(a, 2);
  EXPECT_EQ(b, "two");
  EXPECT_EQ(message_of([&] { static_cast<void>(sql_.exec("SELECT a FROM t").one<int>()); }),
            "Expected exactly one result from SQL query, but got multiple results.");
  EXPECT_EQ(message_of([&] { static_cast<void>(sql_.exec("SELECT a FROM t WHERE 0").one<int>()); }),
            "Expected exactly one result from SQL query, but got no results.");
}

TEST_F(SqlTest, ExecRunsAtOnceAndAllStatements) {
  sql_.exec("INSERT INTO t VALUES (1, 1); INSERT INTO t VALUES (?, 2)", 2);
  EXPECT_THAT(numbers(), ElementsAre(1, 2));
  auto cursor = sql_.exec("INSERT INTO t VALUES (3, 3) RETURNING a");
  EXPECT_EQ(cursor.one<int>(), 3);
  EXPECT_THAT(numbers(), ElementsAre(1, 2, 3));
  EXPECT_EQ(message_of([&] { sql_.exec("INSERT INTO t VALUES (?, 1); SELECT 1", 9); }),
            "When executing multiple SQL statements in a single call, only the last statement can "
            "have parameters.");
}

TEST_F(SqlTest, CountsRowsAsCloudflareDoes) {
  sql_.exec("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
  auto insert = sql_.exec("INSERT INTO t VALUES (4, 4)");
  EXPECT_EQ(insert.rows_written(), 1u);
  auto select = sql_.exec("SELECT * FROM t");
  while (select.next()) {
  }
  EXPECT_EQ(select.rows_read(), 4u);
  EXPECT_EQ(select.rows_written(), 0u);
  EXPECT_FALSE(select.next()) << "the end stays the end";
}

TEST_F(SqlTest, ACursorInTheMiddleDoesNotShareItsCachedStatement) {
  sql_.exec("INSERT INTO t VALUES (1, 1), (2, 2)");
  std::vector<int> seen;
  for (const Row outer : sql_.exec("SELECT a FROM t ORDER BY a"))
    for (const Row inner : sql_.exec("SELECT a FROM t ORDER BY a"))
      seen.push_back(outer.get<int>(0) * 10 + inner.get<int>(0));
  EXPECT_THAT(seen, ElementsAre(11, 12, 21, 22));
  for (const Row row : sql_.exec("SELECT a FROM t ORDER BY a")) {
    EXPECT_EQ(row.get<int>(0), 1) << "one that was given up begins anew";
    break;
  }
}

TEST_F(SqlTest, TheCacheOfStatementsHasALimit) {
  const EngineState::Use use(*state_);
  const ObjectId id = sqlite_->id_from_name("b");
  const runtime::ObjectId object(id.bytes());
  state_->claim(object);
  StorageState storage(state_, use.store(), use.catalog(),
                       use.catalog().open_namespace(sqlite_->key()), object, id,
                       StorageKind::kSqlite);
  const std::string padding(90'000, ' ');
  for (int i = 0; i < 40; ++i) {
    const std::string query = "SELECT " + std::to_string(i) + padding;
    EXPECT_EQ(storage.sql.exec(query).one<int>(), i);
    EXPECT_EQ(storage.sql.exec(query).one<int>(), i);
    EXPECT_EQ(storage.sql.exec("SELECT 0" + padding).one<int>(), 0);
    EXPECT_LE(storage.cache.bytes(), Sql::kCachedSqlBytesMax);
  }
  EXPECT_GT(storage.cache.bytes(), Sql::kCachedSqlBytesMax / 2);
}

TEST_F(SqlTest, SaysWhatIsWrongWithTheSql) {
  try {
    sql_.exec("SELEC 1");
    ADD_FAILURE();
  } catch (const SqlError& error) {
    EXPECT_STREQ(error.what(), "near \"SELEC\": syntax error at offset 0: SQLITE_ERROR");
    EXPECT_EQ(error.code(), ErrorCode::kSql);
    EXPECT_EQ(error.sqlite_code(), 1);
  }
  EXPECT_EQ(message_of([&] { static_cast<void>(sql_.prepare("SELECT * FROM x")); }),
            "no such table: x: SQLITE_ERROR");
  EXPECT_EQ(message_of([&] { static_cast<void>(sql_.prepare(" -- nothing")); }),
            "SQL code did not contain a statement.");
  EXPECT_EQ(message_of([&] { static_cast<void>(sql_.prepare("SELECT 1; SELECT 2")); }),
            "There is more than one statement in the SQL code: prepare them one by one, or use "
            "exec().");
  EXPECT_EQ(message_of([&] { sql_.exec("BEGIN"); }),
            "Transactions are not begun or ended by SQL statements: use Storage::begin() or "
            "Storage::transaction_sync(). They are rolled back when an exception passes.");
  storage_.kv().put("k", 1);
  EXPECT_EQ(message_of([&] { sql_.exec("SELECT * FROM _cf_KV"); }),
            "access to _cf_KV.key is prohibited: SQLITE_AUTH");
  EXPECT_EQ(message_of([&] { sql_.exec("SELECT ?", 1, 2); }),
            "Wrong number of parameter bindings for SQL query.");
}

// As the headers say: whoever catches SqlError has all that is wrong with SQL.
TEST_F(SqlTest, WhatSqliteIsNotAskedIsASqlErrorToo) {
  sql_.exec("INSERT INTO t VALUES (1, 1), (2, 2)");
  Statement one_parameter = sql_.prepare("SELECT ?");
  const std::vector<std::function<void()>> mistakes = {
      [&] { static_cast<void>(sql_.prepare("")); },
      [&] { static_cast<void>(sql_.prepare("SELECT 1; SELECT 2")); },
      [&] { sql_.exec(" -- nothing"); },
      [&] { sql_.exec("SELECT ?; SELECT ?", 1); },
      [&] { sql_.exec("SELECT ?", 1, 2); },
      [&] { one_parameter.run(); },
      [&] { static_cast<void>(sql_.exec("SELECT a FROM t WHERE a = 3").one<int>()); },
      [&] { static_cast<void>(sql_.exec("SELECT a FROM t").one<int>()); },
  };
  for (std::size_t i = 0; i < mistakes.size(); ++i) {
    try {
      mistakes[i]();
      ADD_FAILURE() << i;
    } catch (const SqlError& error) {
      EXPECT_EQ(error.code(), ErrorCode::kSql) << i;
      EXPECT_EQ(error.sqlite_code(), 1) << i;
      EXPECT_THAT(error.what(), ::testing::Not(::testing::HasSubstr("SQLITE_"))) << i;
    } catch (const Error& error) {
      ADD_FAILURE() << i << ": " << error.what();
    }
  }
}

static_assert(Integer<std::int8_t> && Integer<std::uint8_t> && Integer<long> &&
              Integer<unsigned long long>);
static_assert(!Integer<bool> && !Integer<char> && !Integer<wchar_t> && !Integer<char8_t> &&
              !Integer<char16_t> && !Integer<char32_t>);

TEST_F(SqlTest, TakesEveryInteger) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(sql_.exec("SELECT ?", std::uint64_t{kMax}).one<std::uint64_t>(), std::uint64_t{kMax});
  EXPECT_EQ(sql_.exec("SELECT ?", -kMax - 1).one<std::int64_t>(), -kMax - 1);
  EXPECT_EQ(sql_.exec("SELECT ?", std::int8_t{-5}).one<std::int8_t>(), -5);
  EXPECT_TRUE(sql_.exec("SELECT ?", true).one<bool>());
}

TEST_F(SqlTest, AStatementThatFailsCanBeRunAgain) {
  Statement insert = sql_.prepare("INSERT INTO t VALUES (?, 0)");
  insert.run(1);
  try {
    insert.run(1);
    ADD_FAILURE();
  } catch (const SqlError& error) {
    EXPECT_STREQ(error.what(),
                 "UNIQUE constraint failed: t.a: SQLITE_CONSTRAINT (extended: "
                 "SQLITE_CONSTRAINT_PRIMARYKEY)");
    EXPECT_EQ(error.sqlite_code() & 0xff, 19);
  }
  insert.run(2);
  EXPECT_THAT(numbers(), ElementsAre(1, 2));
}

TEST_F(SqlTest, RefusesParametersThatAreNotThere) {
  Statement statement = sql_.prepare("SELECT ?");
  EXPECT_EQ(message_of([&] { statement.bind(2, 1); }),
            "There is no parameter 2: the statement has 1, counted from 1.");
  EXPECT_EQ(code_of([&] { statement.bind(0, 1); }), ErrorCode::kInvalid);
  EXPECT_EQ(message_of([&] { statement.bind(1, std::uint64_t{1} << 63); }),
            "The integer 9223372036854775808 does not fit into the 64 signed bits of SQLite's.");
  EXPECT_EQ(message_of([&] { statement.bind(1, std::string(3 << 20, 'x')); }),
            "string or blob too big: SQLITE_TOOBIG");
  EXPECT_EQ(message_of([&] { static_cast<void>(statement.row().get<int>(0)); }),
            "There is no row: step() has not returned true.");
}

TEST_F(SqlTest, BindingResetsAndParametersStay) {
  sql_.exec("INSERT INTO t VALUES (1, 1), (2, 2), (3, 3)");
  Statement select = sql_.prepare("SELECT a FROM t WHERE a >= ? ORDER BY a");
  select.bind(1, 2);
  ASSERT_TRUE(select.step());
  EXPECT_EQ(select.row().get<int>(0), 2);
  select.reset();
  ASSERT_TRUE(select.step());
  EXPECT_EQ(select.row().get<int>(0), 2);
  select.bind(1, 3);
  ASSERT_TRUE(select.step());
  EXPECT_EQ(select.row().get<int>(0), 3);
  EXPECT_FALSE(select.step());
  EXPECT_TRUE(select.step()) << "it begins anew";
}

TEST_F(SqlTest, AltersTables) {
  sql_.exec("ALTER TABLE t ADD COLUMN c DEFAULT 7");
  sql_.exec("INSERT INTO t (a) VALUES (1)");
  EXPECT_EQ(sql_.exec("SELECT c FROM t").one<int>(), 7);
  EXPECT_EQ(message_of([&] { sql_.exec("ALTER TABLE t RENAME TO _cf_t"); }),
            "not authorized: SQLITE_AUTH");
  EXPECT_EQ(sql_.exec("SELECT count(*) FROM t").one<int>(), 1);
}

TEST_F(SqlTest, StatementsEndWithTheirObject) {
  Statement statement = sql_.prepare("SELECT 1");
  Cursor cursor = sql_.exec("SELECT 1 UNION SELECT 2");
  storage_.close();
  const std::string ended =
      "This statement has ended with the storage that it belongs to, which was closed or restored. "
      "Prepare it again.";
  EXPECT_EQ(message_of([&] { statement.step(); }), ended);
  EXPECT_EQ(message_of([&] { statement.bind(1, 1); }), ended);
  EXPECT_EQ(message_of([&] { cursor.next(), cursor.next(); }), ended);
  EXPECT_EQ(code_of([&] { static_cast<void>(cursor.row().get<int>(0)); }), ErrorCode::kInvalid);
  EXPECT_EQ(message_of([&] { static_cast<void>(sql_.prepare("SELECT 1")); }),
            "The storage of the object " + storage_.id().to_string() + " has been closed.");
  EXPECT_EQ(message_of([] { Statement().step(); }), "This statement is empty.");
}

TEST_F(SqlTest, StatementsOutliveEvenTheEngine) {
  std::optional<Statement> statement(sql_.prepare("SELECT 1"));
  { const Storage gone = std::move(storage_); }
  let_go();
  EXPECT_EQ(code_of([&] { statement->step(); }), ErrorCode::kInvalid);
  statement.reset();
}

TEST_F(SqlTest, ReturningCommitsWhenItEnds) {
  {
    Statement insert = sql_.prepare("INSERT INTO t VALUES (1, 1), (2, 2) RETURNING a");
    ASSERT_TRUE(insert.step());
    insert.reset();
  }
  storage_.sync();
  storage_.close();
  crash();
  EXPECT_EQ(sqlite_->open("a").sql().exec("SELECT count(*) FROM t").one<int>(), 2);
}

TEST_F(SqlTest, ACommitThatFailsUnseenIsToldLater) {
  sql_.exec("CREATE TABLE child (p REFERENCES t (a) DEFERRABLE INITIALLY DEFERRED)");
  {
    auto cursor = sql_.exec("INSERT INTO child VALUES (99) RETURNING p");
    ASSERT_TRUE(cursor.next());
  }
  const std::string failure =
      "FOREIGN KEY constraint failed: SQLITE_CONSTRAINT (extended: SQLITE_CONSTRAINT_FOREIGNKEY)";
  EXPECT_EQ(message_of([&] { storage_.sync(); }), failure);
  storage_.sync();
  EXPECT_EQ(sql_.exec("SELECT count(*) FROM child").one<int>(), 0);
}

TEST_F(SqlTest, DatabaseSize) { EXPECT_EQ(sql_.database_size(), 2u * 4096); }

}  // namespace
}  // namespace perdure::native::testing
