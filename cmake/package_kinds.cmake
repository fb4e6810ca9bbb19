# Read by cpack once per generator: the tarball is one relocatable folder with its libraries, Debian packages are one a
# component and depend on the system's.
if(CPACK_GENERATOR STREQUAL "TGZ")
  list(APPEND CPACK_COMPONENTS_ALL libraries)
  set(CPACK_ARCHIVE_COMPONENT_INSTALL ON)
  set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
else()
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
endif()
