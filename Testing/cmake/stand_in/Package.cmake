# What packaging checks and makes: description file, README and licence, one archive.

foreach(name IN ITEMS HOMEPAGE CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${name} is empty")
  endif()
endforeach()
if(NOT EXTENSION_NAME STREQUAL PROJECT_NAME)
  message(FATAL_ERROR "the extension '${EXTENSION_NAME}' and the project '${PROJECT_NAME}' differ")
endif()
foreach(file IN ITEMS "${EXTENSION_README_FILE}" "${EXTENSION_LICENSE_FILE}")
  if(NOT EXISTS "${file}")
    message(FATAL_ERROR "'${file}' does not exist")
  endif()
endforeach()

set(description "${CMAKE_BINARY_DIR}/${EXTENSION_NAME}.s4ext")
file(WRITE "${description}" "# Made by the stand-in
homepage ${EXTENSION_HOMEPAGE}
category ${EXTENSION_CATEGORY}
contributors ${EXTENSION_CONTRIBUTORS}
description ${EXTENSION_DESCRIPTION}
iconurl ${EXTENSION_ICONURL}
screenshoturls ${EXTENSION_SCREENSHOTURLS}
depends ${EXTENSION_DEPENDS}
")
install(FILES "${description}" DESTINATION "${Slicer_SHARE_DIR}")

set(CPACK_GENERATOR "TGZ")
set(CPACK_MONOLITHIC_INSTALL ON)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${EXTENSION_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION_FILE "${EXTENSION_README_FILE}")
set(CPACK_RESOURCE_FILE_LICENSE "${EXTENSION_LICENSE_FILE}")
set(CPACK_PACKAGE_FILE_NAME "${Slicer_REVISION}-${Slicer_OS}-${Slicer_ARCHITECTURE}-${EXTENSION_NAME}")
include(CPack)
