# Run the quickstart twice over one fresh directory and compare what it prints, to the byte.
file(REMOVE_RECURSE "${WORK}")
foreach(visit 1 2)
  execute_process(COMMAND "${PROGRAM}" "${WORK}" OUTPUT_VARIABLE printed RESULT_VARIABLE code)
  set(expected "ACME 1004 14\nACME 1002 12\nACME 1000 10\nvisits ${visit}\n")
  if(NOT code EQUAL 0 OR NOT printed STREQUAL expected)
    message(FATAL_ERROR "run ${visit} ended with ${code} and printed\n${printed}instead of\n${expected}")
  endif()
endforeach()
