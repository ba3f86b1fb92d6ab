# Makes SQLite count the rows that a statement reads and writes, as Cloudflare's SQLite does for
# `cursor.rowsRead` and `rowsWritten`. SQLite has no counter for either, and what it offers from outside
# (the update hooks, EXPLAIN) sees neither index entries nor rows that a query passes over. So a few
# opcodes of its virtual machine get one more addition, into the counters of sqlite3_stmt_status():
# number 9 is rows read, 10 rows written (src/store/row_counts.h).
#
# Each piece of source is looked for and must be there exactly once: a newer SQLite that has it no more
# stops the configuration instead of counting wrong.
function(perdure_count_rows source destination)
  file(READ ${source} text)
  set(read "p->aCounter[9]")
  set(written "p->aCounter[10]")

  macro(replace old new)
    string(FIND "${text}" "${old}" first)
    string(FIND "${text}" "${old}" last REVERSE)
    if(first EQUAL -1 OR NOT first EQUAL last)
      message(FATAL_ERROR "cmake/SqliteRowCounts.cmake does not fit this SQLite: it has not exactly once\n${old}")
    endif()
    string(REPLACE "${old}" "${new}" text "${text}")
  endmacro()

  replace("u32 aCounter[9];" "u32 aCounter[11];")
  # Read: the first row of a scan, also of an empty one, forwards …
  replace("case OP_Rewind: {        /* jump0, ncycle */\n  VdbeCursor *pC;\n  BtCursor *pCrsr;\n  int res;\n"
          "case OP_Rewind: {        /* jump0, ncycle */\n  VdbeCursor *pC;\n  BtCursor *pCrsr;\n  int res;\n\n  ${read}++;\n")
  # … and backwards,
  replace("  rc = sqlite3BtreeLast(pCrsr, &res);\n  pC->nullRow = (u8)res;\n"
          "  ${read}++;\n  rc = sqlite3BtreeLast(pCrsr, &res);\n  pC->nullRow = (u8)res;\n")
  # each further row,
  replace("    p->aCounter[pOp->p5]++;\n" "    p->aCounter[pOp->p5]++;\n    ${read}++;\n")
  # and of a virtual table also the end,
  replace("  rc = pModule->xNext(pCur->uc.pVCur);\n" "  ${read}++;\n  rc = pModule->xNext(pCur->uc.pVCur);\n")
  # what a range starts with, or an equality that an index has,
  replace("  if( oc>=OP_SeekGE ){  assert( oc==OP_SeekGE || oc==OP_SeekGT );\n"
          "  ${read}++;\n  if( oc>=OP_SeekGE ){  assert( oc==OP_SeekGE || oc==OP_SeekGT );\n")
  # a row looked up by its number, there or not,
  replace("  pCrsr = pC->uc.pCursor;\n  assert( pCrsr!=0 );\n  res = 0;\n  rc = sqlite3BtreeTableMoveto(pCrsr, iKey, 0, &res);\n"
          "  pCrsr = pC->uc.pCursor;\n  assert( pCrsr!=0 );\n  res = 0;\n  ${read}++;\n  rc = sqlite3BtreeTableMoveto(pCrsr, iKey, 0, &res);\n")
  # and all that count(*) goes over.
  replace("    rc = sqlite3BtreeCount(db, pCrsr, &nEntry);\n"
          "    rc = sqlite3BtreeCount(db, pCrsr, &nEntry);\n    ${read} += (u32)nEntry;\n")
  # Written: a row or an index entry of a table that is more than the statement's own,
  replace("  sqlite3VdbeIncrWriteCounter(p, pC);\n\n  pKey = &aMem[pOp->p3];\n"
          "  sqlite3VdbeIncrWriteCounter(p, pC);\n  if( !pC->isEphemeral ) ${written}++;\n\n  pKey = &aMem[pOp->p3];\n")
  replace("  assert( !isSorter(pC) );\n  pIn2 = &aMem[pOp->p2];\n  assert( (pIn2->flags & MEM_Blob) || (pOp->p5 & OPFLAG_PREFORMAT) );\n"
          "  assert( !isSorter(pC) );\n  if( !pC->isEphemeral ) ${written}++;\n  pIn2 = &aMem[pOp->p2];\n  assert( (pIn2->flags & MEM_Blob) || (pOp->p5 & OPFLAG_PREFORMAT) );\n")
  # a row deleted, one by one or all at once,
  replace("  if( opflags & OPFLAG_NCHANGE ){\n    p->nChange++;\n" "  if( opflags & OPFLAG_NCHANGE ){\n    p->nChange++;\n    ${written}++;\n")
  replace("    p->nChange += nChange;\n    if( pOp->p3>0 ){\n" "    p->nChange += nChange;\n    ${written} += (u32)nChange;\n    if( pOp->p3>0 ){\n")
  # and a change of a virtual table.
  replace("    }else{\n      p->nChange++;\n    }\n" "    }else{\n      p->nChange++;\n      ${written}++;\n    }\n")

  file(WRITE ${destination}.new "${text}")
  file(COPY_FILE ${destination}.new ${destination} ONLY_IF_DIFFERENT)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
endfunction()
