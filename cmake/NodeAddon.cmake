# perdure.node: the Node-API addon. Node-API's ABI is stable, so one binary serves Node.js, Deno and
# Bun; its symbols are the host's, resolved when the addon is loaded.
file(GLOB node_sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/src/node/*.cc)
if(node_sources)
  add_library(perdure_node MODULE ${node_sources})
  set_target_properties(perdure_node PROPERTIES PREFIX "" SUFFIX ".node" OUTPUT_NAME perdure)
  target_include_directories(perdure_node SYSTEM PRIVATE
    ${CMAKE_CURRENT_SOURCE_DIR}/node_modules/node-api-headers/include)
  target_compile_definitions(perdure_node PRIVATE NAPI_VERSION=8)
  target_link_libraries(perdure_node PRIVATE perdure_runtime perdure_front)
endif()
