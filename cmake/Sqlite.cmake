# SQLite, as perdure_sqlite: the amalgamation of the pinned npm package, built with our options, or
# the system's library. The options are the ones the store's correctness and speed lean on; each
# that is not self-evident says why.
set(sqlite_options
  SQLITE_THREADSAFE=2                 # one connection is used by one thread at a time
  SQLITE_MAX_PAGE_COUNT=2621440       # 10 GB with pages of 4096 bytes
  SQLITE_DEFAULT_MEMSTATUS=0          # no global lock on each allocation
  SQLITE_DEFAULT_PCACHE_INITSZ=0      # 80 KB less for each open database
  SQLITE_DEFAULT_LOOKASIDE=0,0        # 48 KB less for each open database
  SQLITE_DEFAULT_SYNCHRONOUS=0        # the log makes commits durable, not the pager
  SQLITE_DEFAULT_LOCKING_MODE=1       # EXCLUSIVE: one object, one open database
  SQLITE_DEFAULT_FOREIGN_KEYS=1
  SQLITE_TEMP_STORE=2                 # no temporary files, but for views (src/store/view_database.h)
  SQLITE_MAX_MMAP_SIZE=0
  SQLITE_OMIT_AUTOINIT
  SQLITE_OMIT_DEPRECATED
  SQLITE_OMIT_LOAD_EXTENSION
  SQLITE_OMIT_SHARED_CACHE           # (not SQLITE_OMIT_WAL: files that are imported have write-ahead logs,
                                      # nor SQLITE_OMIT_PROGRESS_CALLBACK: src/store/statement_limit.h)
  SQLITE_PRINTF_PRECISION_LIMIT=100000  # as in Cloudflare's
  SQLITE_USE_ALLOCA
  SQLITE_STRICT_SUBTYPE=1
  SQLITE_ENABLE_FTS5
  SQLITE_ENABLE_MATH_FUNCTIONS
  SQLITE_ENABLE_RTREE
  HAVE_MALLOC_USABLE_SIZE=1
  HAVE_MALLOC_H=1)

add_library(perdure_sqlite_options INTERFACE)
if(PERDURE_SYSTEM_SQLITE)
  find_package(SQLite3 REQUIRED)
  add_library(perdure_sqlite INTERFACE)
  target_link_libraries(perdure_sqlite INTERFACE SQLite::SQLite3)
else()
  set(sqlite_dir ${CMAKE_CURRENT_SOURCE_DIR}/node_modules/better-sqlite3/deps/sqlite3)
  if(NOT EXISTS ${sqlite_dir}/sqlite3.c)
    message(FATAL_ERROR "SQLite's source is missing: run 'npm ci --ignore-scripts' first "
      "(it comes with the npm package better-sqlite3), or configure with -DPERDURE_SYSTEM_SQLITE=ON")
  endif()
  include(SqliteRowCounts)
  perdure_count_rows(${sqlite_dir}/sqlite3.c ${CMAKE_CURRENT_BINARY_DIR}/sqlite3.c)
  add_library(perdure_sqlite STATIC ${CMAKE_CURRENT_BINARY_DIR}/sqlite3.c)
  target_compile_definitions(perdure_sqlite PUBLIC PERDURE_SQLITE_COUNTS_ROWS)
  target_include_directories(perdure_sqlite SYSTEM PUBLIC ${sqlite_dir})
  target_compile_definitions(perdure_sqlite PRIVATE ${sqlite_options})
  target_compile_options(perdure_sqlite PRIVATE -w)
  target_link_libraries(perdure_sqlite PUBLIC m Threads::Threads)
endif()
